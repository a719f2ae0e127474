# Everything that is done with this repository starts here; `make` alone lists it.

PYTHON ?= python3
PROCESSES ?= 3
COVERAGE_FLOOR ?= 95
LOCK_ARGS ?=
EXTRAS ?=
FUZZ_SECONDS ?= 600
BENCH_ARGS ?=
E2E_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input --require-virtualenv
# A lock names every package, so nothing has to be resolved; compiling them on all cores is quicker than pip, which does it on one,
# and who imports a package leaves its tests, a quarter of all, alone.
LOCKED_ONLY := --no-deps --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x 'site-packages/.*/tests/'
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --python-version 3.11
# What runs in the fork server and its locked workers, which can't write coverage data: measured where tests call it directly, and counted apart.
LOCKED_HOST := answering canaries forkserver kernel landlock lock seccomp walls worker
LOCKED_FILES := registry/flavors/* $(LOCKED_HOST:%=registry/host/%.py)
empty :=
comma := ,
LOCKED := $(subst $(empty) ,$(comma),$(LOCKED_FILES))
KNOWN_EXTRAS := skops onnx lz4 fast
WANTED_EXTRAS := $(subst $(comma), ,$(EXTRAS))
$(foreach extra,$(filter-out $(KNOWN_EXTRAS),$(WANTED_EXTRAS)),$(error There is no extra '$(extra)'; there are: $(KNOWN_EXTRAS)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve demo test e2e screenshots docs release coverage fuzz bench bench-all check fmt lock clean

help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/server.done $(WANTED_EXTRAS:%=.venv/extra-%.done)  ## Set up what is missing and start the server on 127.0.0.1:8000 (EXTRAS="skops onnx lz4" for more formats, fast for compiled models)
	@exec $(BIN)/modelyard serve

demo: .venv/server.done  ## Publish two versions of a real model, predict, point an alias, roll back
	@exec $(BIN)/modelyard demo

test: .venv/dev.done  ## Run the tests (PYTEST_ARGS="-k alias" for a part of them)
ifdef PYTEST_ARGS
	@$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	@rm -f .coverage .coverage.*
	@status=0; export PYTHONDONTWRITEBYTECODE=; \
	$(BIN)/python -m compileall -q config.py modelyard registry; \
	$(BIN)/python -m pytest -m "not alone" --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder --cov --cov-report= || status=1; \
	$(BIN)/python -m pytest -m alone $$(grep -rl --include='*.py' 'mark\.alone' tests/integration) --cov --cov-append --cov-report= || status=1; \
	$(MAKE) --no-print-directory coverage || status=1; \
	exit $$status
endif

e2e: .venv/e2e.done  ## Run the tests of the console in a headless Chromium (E2E_ARGS="-k journey" for a part of them)
	@$(BIN)/python -m pytest tests/e2e -m e2e $(E2E_ARGS)

screenshots: .venv/e2e.done  ## Take the pictures of the console that the documentation shows, into docs/images/
	@$(BIN)/python -m tests.e2e.screenshots

coverage: .venv/dev.done  ## Show what the last whole run of the tests covered, and fail below COVERAGE_FLOOR
	@echo "Run in locked workers, counted apart:"
	@$(BIN)/coverage report --include='$(LOCKED)' --skip-empty
	@echo "All else:"
	@$(BIN)/coverage report --omit='$(LOCKED)' --fail-under=$(COVERAGE_FLOOR)

fuzz: .venv/dev.done  ## Feed the loader mutated files and opcode programs for FUZZ_SECONDS (FUZZ_SEED=... repeats a run)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzzing --seconds=$(FUZZ_SECONDS) $(FUZZ_SEED:%=--seed=%)

bench: .venv/server.done  ## Measure beside naive Flask and FastAPI on this machine, in 4 minutes (BENCH_ARGS="--only modelyard,fastapi" for a part)
	@$(BIN)/python -m benchmarks.side_by_side --quick --budget=3.5 $(BENCH_ARGS)

bench-all: .venv/server.done .venv/extra-fast.done  ## Measure beside every other server and write benchmarks/RESULTS.md, in 25 minutes once all are installed
	@$(BIN)/python -m benchmarks.side_by_side --budget=23 --publish $(BENCH_ARGS)

docs: .venv/docs.done  ## Build the documentation site into site/; a warning is an error
	@rm -rf site
	@$(BIN)/python -m sphinx -b dirhtml -W --keep-going -q -E -d .venv/doctrees docs site
	@echo "Open site/index.html, or serve the folder: python3 -m http.server --directory site"

release: .venv/dev.done  ## Build the client's wheel and source distribution into dist/, and check what a package index would show
	@rm -rf dist build
	@$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python --out-dir dist
	@$(BIN)/twine check --strict dist/modelyard-*
	@rm -rf build

check: .venv/dev.done  ## Lint, formatting, types, and which module may import which
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

fmt: .venv/dev.done  ## Format the code and mend what ruff can mend by itself
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

lock: .venv/dev.done  ## Lock the dependencies anew (LOCK_ARGS=--upgrade for newer versions)
	@$(LOCK) $(LOCK_ARGS) requirements/server.in --output-file requirements.lock
	@$(LOCK) $(LOCK_ARGS) requirements/docs.in --output-file requirements/docs.lock
	@$(LOCK) $(LOCK_ARGS) requirements/dev.in --output-file requirements/dev.lock
	@$(LOCK) $(LOCK_ARGS) requirements/client.in --output-file requirements/client.lock
	@$(LOCK) $(LOCK_ARGS) requirements/e2e.in --output-file requirements/e2e.lock
	@for extra in $(KNOWN_EXTRAS); do $(LOCK) $(LOCK_ARGS) requirements/$$extra.in --output-file requirements/$$extra.lock || exit 1; done

clean:  ## Remove what was made here, but for instance/, which holds your models
	@rm -rf .venv .bench dist build site .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -not -path './instance/*' -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Modelyard needs Python 3.11 or newer and '$(PYTHON)' is not; try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/server.done: .venv/bin/python requirements.lock pyproject.toml deploy/server/pyproject.toml
	@echo "Installing the server's packages into .venv ..."
	@$(PIP) install $(LOCKED_ONLY) --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e . -e deploy/server
	@$(COMPILE) .venv/lib config.py modelyard registry || true
	@touch $@

# An extra stays installed until `make clean`: `make serve` without it goes on with it.
.venv/extra-%.done: requirements/%.lock .venv/server.done
	@echo "Installing the extra $* into .venv ..."
	@$(PIP) install $(LOCKED_ONLY) --require-hashes -r $<
	@touch $@

.venv/docs.done: .venv/server.done requirements/docs.lock
	@echo "Installing the documentation tools into .venv ..."
	@$(PIP) install $(LOCKED_ONLY) --require-hashes -r requirements/docs.lock
	@touch $@

.venv/e2e.done: .venv/dev.done requirements/e2e.lock
	@echo "Installing the tools of the browser tests into .venv ..."
	@$(PIP) install $(LOCKED_ONLY) --require-hashes -r requirements/e2e.lock
	@touch $@

.venv/dev.done: .venv/server.done requirements/dev.lock
	@echo "Installing the development tools into .venv ..."
	@$(PIP) install $(LOCKED_ONLY) --require-hashes -r requirements/dev.lock
	@$(COMPILE) .venv/lib || true
	@touch $@

"""What the documents say is what happens: every block of code in them runs, in the order of its page, and shows what stands there.

One service serves all pages, each of which has a folder and a home of its own and models of its own names.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import performance_tables
from tests.documents import Block, Session, blocks_of, pages
from tests.running import RunningService, running

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
PAGES = [page for page in pages(DOCS) if blocks_of(page)]
EXAMPLES = ["tabular", "text", "regression"]
#: Blocks that no test runs, each with its reason on the page: containers, services of the system, long measurements.
MOST_NOT_RUN = 12
PAGE = """\
<!-- run: python
words = "one two three"
-->
```python
print(words, "four", "five", "last", sep="\\n")
```
```text
one … three
…
last
```
A `text` that isn't right below a block that is run is nobody's output:
```text
nothing
```
```ini
[nothing]
```
```text
nothing
```
<!-- not run: needs a moon -->
```bash
number=3
```
```bash
number=4; echo $number
```
```text
4
```
```bash
echo $number
```
```text
5
```
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Give the service that a reader has started; the folder of its instance is that of a checkout."""
    with running(tmp_path_factory.mktemp("documents") / "instance", measured=False, web_processes="1") as started:
        yield started


@pytest.fixture
def environment(service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of a reader who has a clean folder and home; Python in this process has it, too."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("MODELYARD_", "XDG_", "COVERAGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # each command would start threads that it has no use for
    return dict(os.environ)


@pytest.fixture
def folder(service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that a page is read in: as in a checkout, `.venv` and `instance` are there."""
    place = tmp_path / "reader"
    place.mkdir()
    (place / ".venv").symlink_to(sys.prefix)
    (place / "instance").symlink_to(service.instance)
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_block_of_a_page_runs_and_shows_what_stands_there(
    page: Path, service: RunningService, environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From top to bottom; only the tutorial begins without an address and a key."""
    if page != TUTORIAL:
        for name, value in (("MODELYARD_URL", service.url), ("MODELYARD_KEY", service.admin_key)):
            environment[name] = value
            monkeypatch.setenv(name, value)
    session = Session(page, {"http://127.0.0.1:8000": service.url}, environment, folder)
    try:
        for block in blocks_of(page):
            if block.reason is None:
                session.run(block)
    finally:
        session.close()


def test_a_page_is_read_as_its_author_means_it(tmp_path: Path) -> None:
    """What is hidden, what is shown and what isn't run are told apart, and `…` stands for what differs."""
    page, folder = tmp_path / "page.md", tmp_path / "reader"
    folder.mkdir()
    page.write_text(PAGE, encoding="utf-8")
    hidden, told, _excused, going_on, wrong = blocks = blocks_of(page)
    assert [block.language for block in blocks] == ["python", "python", "bash", "bash", "bash"]
    assert (told.shown, going_on.shown) == ("one … three\n…\nlast\n", "4\n")
    assert [block.reason for block in blocks] == [None, None, "needs a moon", None, None]
    session = Session(page, {}, dict(os.environ), folder)
    for block in (hidden, told, going_on):
        session.run(block)
    with pytest.raises(AssertionError, match=r"page\.md:32: comes out otherwise"):
        session.run(wrong)
    with pytest.raises(AssertionError, match="ends with status 3"):
        session.run(Block("bash", "exit 3\n", 1))


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    """A block that can't be run by a test is an exception, with a reason that its author had to write down."""
    reasons = [(page.name, block.line, block.reason) for page in PAGES for block in blocks_of(page) if block.reason is not None]
    assert len(reasons) <= MOST_NOT_RUN, reasons
    assert all(len(reason.split()) > 2 for _, _, reason in reasons), reasons


@pytest.fixture
def named(service: RunningService, environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the service and a key, as a profile would."""
    monkeypatch.setenv("MODELYARD_URL", service.url)
    monkeypatch.setenv("MODELYARD_KEY", service.admin_key)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_served_what_it_fitted(name: str, named: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example ends by asserting that what is served equals the estimator's own, bit for bit."""
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")["yard"].close()
    assert capsys.readouterr().out.endswith("equal the estimators' own, bit for bit.\n")


def test_the_demo_ends_well(named: None, capsys: pytest.CaptureFixture[str]) -> None:
    """On the service that the environment names; `make demo` starts one."""
    assert runpy.run_path(str(ROOT / "examples" / "demo.py"))["main"]() == 0
    assert capsys.readouterr().out.endswith("Every prediction equals the estimator's own, bit for bit.\n")


def test_the_page_about_performance_has_the_ratios_that_were_measured() -> None:
    """`python -m tests.performance_tables` writes its tables from benchmarks/RESULTS.md."""
    text = performance_tables.PAGE.read_text(encoding="utf-8")
    assert performance_tables.with_tables(text) == text

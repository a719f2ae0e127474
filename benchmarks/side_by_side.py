"""Modelyard beside other servers: the same models, rows and machine, one after the other in turns.

    make bench                                             the quick set
    make bench-all                                         every contender
    .venv/bin/python -m benchmarks.side_by_side --only modelyard,fastapi --models iris --seconds 2
    .venv/bin/python -m benchmarks.side_by_side --tables   tables and plots again from the last run's figures

Raw figures go to .bench/results/, tables to benchmarks/RESULTS.md (with --publish) or .bench/results/, plots beside them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import environments, report
from benchmarks.contenders import modelyard, roster
from benchmarks.contenders.contract import Contender, Way
from benchmarks.estimators import MODELS
from benchmarks.load import LOADS, WRK_MISSING
from benchmarks.measurement import Measurement, Plan, Results, machine

RESULTS = environments.WORK / "results"
RAW = RESULTS / "side-by-side.json"
PUBLISHED = Path(__file__).resolve().parent
QUICK_LOADS = ("row-8", "hits")
QUICK_MODELS = ("iris", "forest", "boosting")


def arguments_of(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [contender.name for contender in roster.ALL]
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"Modelyard, naive Flask, FastAPI and the Flask floor, at 8 connections, {', '.join(QUICK_MODELS)}",
    )
    parser.add_argument("--only", type=_list_of(names), metavar="NAMES", help=f"these contenders, comma-separated: {', '.join(names)}")
    parser.add_argument(
        "--models", type=_list_of(list(MODELS)), metavar="NAMES", help=f"these models, comma-separated: {', '.join(MODELS)}"
    )
    parser.add_argument("--loads", type=_list_of(list(LOADS)), metavar="NAMES", help=f"these loads, comma-separated: {', '.join(LOADS)}")
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is measured, in turns (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one load (default: 2)")
    parser.add_argument(
        "--budget", type=float, metavar="MINUTES", help="choose the length of a load so that all is done in about this time, once installed"
    )
    parser.add_argument("--install", action="store_true", help="make the environments that are missing, and stop")
    parser.add_argument(
        "--tables", nargs="?", const="", metavar="FILE", help="measure nothing; write tables and plots from FILE, by default the last run"
    )
    parser.add_argument("--publish", action="store_true", help="write the tables to benchmarks/RESULTS.md, and the plots beside it")
    return parser.parse_args(argv)


def _list_of(known: list[str]) -> Any:
    def read(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(",") if name.strip()]
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; there are: {', '.join(known)}")
        return wanted

    return read


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what the command line asks for."""
    classes = roster.QUICK if options.quick and not options.only else roster.ALL
    contenders = [kind for kind in classes if not options.only or kind.name in options.only]
    models = options.models or (QUICK_MODELS if options.quick else tuple(MODELS))
    loads = options.loads or (QUICK_LOADS if options.quick else tuple(LOADS))
    budget = None if options.budget is None else 60 * options.budget
    return Plan(contenders, [MODELS[name] for name in models], loads, options.repetitions, options.seconds, budget)


def record(plan: Plan, results: Results, command: str, about: dict[str, Any]) -> dict[str, Any]:
    """Return the run as one JSON object: what was measured, where, of what, and the figures."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "command": command, "machine": about,
        "commit": modelyard.commit(environments.ROOT), "wrk": _wrk_version(), "repetitions": plan.repetitions,
        "models": {model.name: model.title for model in plan.models}, "loads": {name: LOADS[name].title for name in plan.loads},
        "ways": {way.name: _way(contender, way) for contender in plan.contenders for way in contender.ways}, **asdict(results),
    }  # fmt: skip


def _way(contender: type[Contender], way: Way) -> dict[str, Any]:
    return {
        "contender": contender.name, "title": way.title, "settings": way.settings, "floor": way.floor, "ours": way.ours,
        "versions": contender.version_text(), "estimator": contender.estimator_text(), "math_threads": contender.math_threads,
        "joins": contender.joins_or_isolates,
    }  # fmt: skip


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    return said[1] if len(said) > 1 else "unknown"


def write(figures: dict[str, Any], *, publish: bool) -> Path:
    """Write the tables, then the plots, and return the page."""
    folder = PUBLISHED if publish else RESULTS
    page = folder / ("RESULTS.md" if publish else "side-by-side.md")
    plots: list[str] = []
    try:
        environments.ensure("plots")
        command = [str(environments.bin_folder("plots") / "python"), "-m", "benchmarks.plots", str(RAW), str(folder)]
        plots = subprocess.run(command, cwd=environments.ROOT, capture_output=True, text=True, check=True).stdout.split()
    except (environments.CannotInstall, subprocess.CalledProcessError) as error:
        print(f"no plots: {error} {getattr(error, 'stderr', '')}", file=sys.stderr)
    old = page.read_text() if page.exists() else ""
    page.write_text(report.merged(old, report.page(figures, plots)))
    return page


def main(argv: list[str]) -> int:
    """Measure, and write tables and plots. Exit status 2 without wrk; a contender that fails is a line in the tables, not a status."""
    options = arguments_of(argv)
    RESULTS.mkdir(parents=True, exist_ok=True)
    if options.tables is None:
        if shutil.which("wrk") is None:
            print(WRK_MISSING, file=sys.stderr)
            return 2
        plan = plan_of(options)
        measurement = Measurement(plan)
        if options.install:
            return 0 if len(measurement.install()) == len(plan.contenders) else 1
        about = machine()  # its load average is that before the run
        figures = record(plan, measurement.run(), shlex.join(["python", "-m", "benchmarks.side_by_side", *argv]), about)
        text = json.dumps(figures, indent=1)
        (RESULTS / f"side-by-side-{figures['date'].replace(':', '')}.json").write_text(text)
        RAW.write_text(text)
    elif options.tables:
        shutil.copy(options.tables, RAW)
    figures = json.loads(RAW.read_text())
    page = write(figures, publish=options.publish)
    print(page.read_text() if not options.publish else f"wrote {page.relative_to(environments.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Fuzzing from the command line: a fixed number of inputs, or as many as fit into a time; findings are kept as files.

Prints the seed first, so that a run can be repeated, and the report as JSON last. Exits with 1 where something was found.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import itertools
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry import flavors
from tests.fuzzing.judge import Case, Finding, Report, judge
from tests.fuzzing.mutations import Mutator
from tests.fuzzing.programs import programs_of
from tests.fuzzing.reducing import reduced
from tests.fuzzing.seeds import good_files, models_of

#: Of so many inputs one goes through all that an upload goes through.
WHOLE_EVERY = 12
PROGRAMS_AT_ONCE = 250
MOST_REDUCED = 12
SELF_TEST = (b"nothing", b"crash", b"nothing", b"hang", b"raise", b"change", b"nothing")


def main() -> int:
    """Run as the arguments say; return the exit status."""
    options = _options()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("Set OMP_NUM_THREADS=1: a forked child would wait for its parent's threads.")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))
    folder.mkdir(exist_ok=True)
    seed = options.seed if options.seed is not None else secrets.randbelow(2**32)
    print(f"FUZZ_SEED={seed}; findings go to {folder}", file=sys.stderr, flush=True)
    flavors.warm_up()
    gc.freeze()  # as the fork server does: a collection in a child would touch, and so copy, everything
    report, keeper = Report(), Keeper(folder, reduces=not options.self_test)
    marker = folder / "marker"
    start = time.monotonic()
    if options.self_test:
        judge(_self_test(marker), report)
    elif options.seconds:
        _for_a_time(options.seconds, seed, marker, report, keeper)
    else:
        judge(itertools.islice(_cases(_mutants(seed)), options.mutations), report)
        judge(itertools.islice(_cases(_programs(seed, marker)), options.programs), report)
    kept = keeper.keep(report.findings)
    print(
        json.dumps({**_figures(report), "seconds": round(time.monotonic() - start), "marker": marker.exists(), "findings": kept}, indent=1)
    )
    return int(bool(kept) or marker.exists())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--programs", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--self-test", action="store_true", help="feed what must be found")
    return parser.parse_args()


def _for_a_time(seconds: float, seed: int, marker: Path, report: Report, keeper: Keeper) -> None:
    """Take mutations and programs in turn until the time is over."""
    until = time.monotonic() + seconds
    mutants, programs = _cases(_mutants(seed)), _cases(_programs(seed, marker))
    while time.monotonic() < until:
        judge(itertools.islice(mutants, 4000), report, until=until)
        judge(itertools.islice(programs, 2000), report, until=until)
        keeper.keep(report.findings)
        print(f"{report.count} inputs, {len(report.findings)} findings", file=sys.stderr, flush=True)


def _mutants(seed: int) -> Iterator[tuple[str, bytes]]:
    mutator = Mutator(good_files(), seed)
    while True:
        yield mutator.mutant()


def _programs(seed: int, marker: Path) -> Iterator[tuple[str, bytes]]:
    models = models_of()
    for turn in itertools.count():
        yield from programs_of(models, PROGRAMS_AT_ONCE, seed + turn, str(marker))


def _cases(inputs: Iterator[tuple[str, bytes]]) -> Iterator[Case]:
    """Give inputs that weren't given before, most of them to the quick way."""
    seen: set[bytes] = set()
    for label, data in inputs:
        digest = hashlib.blake2b(data, digest_size=8).digest()
        if digest not in seen:
            seen.add(digest)
            yield Case(label, data, "quick" if len(seen) % WHOLE_EVERY else "whole")


def _self_test(marker: Path) -> Iterator[Case]:
    """Give what each oracle must notice, between inputs that are fine."""
    for data in SELF_TEST:
        yield Case("self-test", data, "crashing")
    yield Case("self-test", f"cos\nsystem\n(S'touch {marker}'\ntR.".encode(), "pickle")


def _figures(report: Report) -> dict[str, Any]:
    outcomes = dict(report.outcomes.most_common())
    return {
        "count": report.count,
        "slowest_seconds": round(report.slowest, 2),
        "memory_mib": report.most_memory_bytes >> 20,
        "outcomes": outcomes,
    }


class Keeper:
    """Writes each finding to a file as soon as it is there, the first ones made small as well."""

    def __init__(self, folder: Path, *, reduces: bool) -> None:
        """Keep files in `folder`."""
        self._folder = folder
        self._most_reduced = MOST_REDUCED if reduces else 0
        self._kept: list[dict[str, str]] = []

    def keep(self, findings: list[Finding]) -> list[dict[str, str]]:
        """Keep those that are new; return the descriptions of all."""
        for finding in findings[len(self._kept) :]:
            self._kept.append(described := self._describe(finding))
            print(json.dumps(described), file=sys.stderr, flush=True)
        return self._kept

    def _describe(self, finding: Finding) -> dict[str, str]:
        case, index = finding.case, len(self._kept)
        path = self._folder / f"{index:03}-{finding.kind}"
        path.write_bytes(case.data)
        described = {"kind": finding.kind, "what": finding.what, "input": case.label, "way": case.way, "file": str(path)}
        if index < self._most_reduced:
            small, described["reduced"] = reduced(finding, good_files())
            path.with_suffix(".small").write_bytes(small)
        return described


if __name__ == "__main__":
    sys.exit(main())

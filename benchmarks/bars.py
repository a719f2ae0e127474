"""The bars that Modelyard holds itself to beside other servers, computed from the figures of one run.

Every bar is a ratio of two medians of the same run on the same machine. What was not measured is said to be so, never passed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EXACT, DEFAULT, NPY, FAST, HITS = "modelyard", "modelyard-default", "modelyard-npy", "modelyard-fast", "modelyard-hits"


class NotMeasured(Exception):
    """A figure that this run doesn't have."""


class NotPlanned(NotMeasured):
    """A figure that this run was not asked for."""


@dataclass(frozen=True)
class Bar:
    """One bar: in words, the ratio that is needed, whether more is better, and the ratio found with what it was made of."""

    text: str
    needed: float
    at_least: bool
    found: float | None
    detail: str
    planned: bool = True

    @property
    def reached(self) -> bool:
        """Tell whether the bar is reached."""
        if self.found is None:
            return False
        return self.found >= self.needed if self.at_least else self.found <= self.needed

    @property
    def verdict(self) -> str:
        """Return whether it is reached, or by how much it is missed."""
        if self.found is None:
            return "not measured"
        if self.reached:
            return "reached"
        short = 1 - self.found / self.needed if self.at_least else self.found / self.needed - 1
        return f"**missed by {short:.0%}**"


class Figures:
    """The medians of a run."""

    def __init__(self, run: dict[str, Any]) -> None:
        """Read a run as it was recorded."""
        self.run = run
        self.ways: dict[str, dict[str, Any]] = run["ways"]
        self._samples: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for sample in run["samples"]:
            self._samples.setdefault((sample["way"], sample["model"], sample["load"]), []).append(sample)

    def samples(self, way: str, model: str, load: str) -> list[dict[str, Any]]:
        """Return the samples of a row, one per repetition; an empty list when it was not measured."""
        return self._samples.get((way, model, load), [])

    def errors(self, way: str, model: str, load: str) -> int:
        """Return how many requests of a row failed."""
        return sum(int(sample["errors"]) for sample in self.samples(way, model, load))

    def median(self, way: str, model: str, load: str, figure: str) -> float:
        """Return the median of a figure. Raises NotMeasured, also where requests failed or something else was measured."""
        self._require_planned(model, load)
        if way not in self.ways:
            raise NotPlanned(f"{way} takes no part")
        samples = self.samples(way, model, load)
        if not samples:
            raise NotMeasured(f"{way} was not measured")
        if self.errors(way, model, load):
            raise NotMeasured(f"requests to {way} failed")
        unmet = next((sample["unmet"] for sample in samples if sample.get("unmet")), "")
        if unmet:
            raise NotMeasured(f"{way}: {unmet}")
        return statistics.median(sample[figure] for sample in samples)

    def _require_planned(self, model: str, load: str) -> None:
        if model not in self.run["models"] or load not in self.run["loads"]:
            raise NotPlanned(f"{model} was not asked for {load}")

    def bare(self, model: str, figure: str) -> float:
        """Return the milliseconds of `predict` alone. Raises NotMeasured."""
        return statistics.median(self._bare(model, figure))

    def bare_spread(self, model: str, figure: str) -> float:
        """Return how far the repetitions of the bare predict lie apart. Raises NotMeasured."""
        found = self._bare(model, figure)
        return max(found) - min(found)

    def _bare(self, model: str, figure: str) -> list[float]:
        self._require_planned(model, "bulk")
        found = [float(sample[figure]) for sample in self.run["bare"] if sample["model"] == model]
        if not found:
            raise NotMeasured("the bare predict was not measured")
        return found

    def others(self, model: str, load: str, figure: str) -> dict[str, float]:
        """Return the medians of every server that isn't ours and predicts. Raises NotMeasured when there is none."""
        self._require_planned(model, load)
        found = {}
        for way, about in self.ways.items():
            if not about["ours"] and not about["floor"] and self.samples(way, model, load) and not self.errors(way, model, load):
                found[way] = self.median(way, model, load, figure)
        if not found:
            raise NotMeasured("no other server was measured")
        return found


def _bar(text: str, needed: float, ratio: Callable[[], tuple[float, str]], *, at_least: bool = True) -> Bar:
    try:
        found, detail = ratio()
    except NotMeasured as missing:
        return Bar(text, needed, at_least, None, str(missing), planned=not isinstance(missing, NotPlanned))
    return Bar(text, needed, at_least, found, detail)


def _rates(figures: Figures, way: str, other: str, model: str, *, load: str = "row-8", other_load: str = "row-8") -> tuple[float, str]:
    ours, theirs = figures.median(way, model, load, "per_second"), figures.median(other, model, other_load, "per_second")
    return ours / theirs, f"{ours:,.0f}/s to {theirs:,.0f}/s"


def _best_rate(figures: Figures, way: str, model: str) -> tuple[float, str]:
    ours, others = figures.median(way, model, "row-8", "per_second"), figures.others(model, "row-8", "per_second")
    best = max(others, key=others.__getitem__)
    return ours / others[best], f"{ours:,.0f}/s to {others[best]:,.0f}/s ({figures.ways[best]['title']})"


def _latency(figures: Figures) -> tuple[float, str]:
    ours, theirs = figures.median(EXACT, "iris", "row-1", "p50_ms"), figures.median("flask-granian", "iris", "row-1", "p50_ms")
    return ours / theirs, f"{ours:.3f} ms to {theirs:.3f} ms"


def _cpu(figures: Figures) -> tuple[float, str]:
    others = {way: cpu for way, cpu in figures.others("iris", "row-8", "cpu_per_1000").items() if figures.ways[way]["joins"]}
    if not others:
        raise NotPlanned("no server that joins or isolates takes part")
    ours, best = figures.median(DEFAULT, "iris", "row-8", "cpu_per_1000"), min(others, key=others.__getitem__)
    return ours / others[best], f"{ours:.3f} s to {others[best]:.3f} s ({figures.ways[best]['title']})"


def _rest(figures: Figures, way: str, model: str) -> tuple[float, str]:
    """Compare what is left of the p50 of 1,000 rows after the bare predict."""
    bare = figures.bare(model, "bulk_ms")
    ours = figures.median(way, model, "bulk", "p50_ms") - bare
    others = {name: p50 - bare for name, p50 in figures.others(model, "bulk", "p50_ms").items()}
    best = min(others, key=others.__getitem__)
    if others[best] <= figures.bare_spread(model, "bulk_ms"):
        raise NotMeasured(f"what is left to the best other ({others[best]:.2f} ms) is no more than the bare predict varies")
    return max(ours, 0.0) / others[
        best
    ], f"{ours:.2f} ms to {others[best]:.2f} ms ({figures.ways[best]['title']}); bare predict {bare:.2f} ms"


def all_bars(figures: Figures) -> list[Bar]:
    """Return every bar with what this run says of it."""
    bars = [
        _bar(
            f"iris, cache bypassed, 1 web process: requests/s to {title}", needed, lambda other=other: _rates(figures, EXACT, other, "iris")
        )
        for other, title, needed in (("fastapi", "hand-written FastAPI", 1.6), ("mlserver", "MLServer", 3.0), ("mlflow", "MLflow", 8.0))
    ]
    bars += [
        _bar("iris, 1 connection: p50 to naive Flask's", 1.0, lambda: _latency(figures), at_least=False),
        _bar(
            "iris, default settings: CPU s per 1,000 requests to the best other that joins or isolates",
            1.0,
            lambda: _cpu(figures),
            at_least=False,
        ),
        _bar("cache hits: requests/s to Flask hello-world", 0.6, lambda: _rates(figures, HITS, "hello-flask", "iris", load="hits")),
        _bar("forest, exact: requests/s to the best other", 5.0, lambda: _best_rate(figures, EXACT, "forest")),
        _bar("forest, fast: requests/s to the best other", 8.0, lambda: _best_rate(figures, FAST, "forest")),
        _bar("gradient boosting, exact: requests/s to the best other", 3.0, lambda: _best_rate(figures, EXACT, "boosting")),
    ]
    for model in ("linear", "forest", "boosting"):
        for way, form, needed in ((DEFAULT, "JSON", 0.5), (NPY, "npy", 0.25)):
            text = f"1,000 rows, {model}, {form}: p50 less the bare predict, to the best other's in JSON"
            bars.append(_bar(text, needed, lambda way=way, model=model: _rest(figures, way, model), at_least=False))
    return bars

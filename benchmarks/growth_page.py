"""Writes the page and the plots of how the cost grows. Runs in the environment that has matplotlib.

Arguments: the folder of the figures, the folder to write GROWTH.md and plots/ to. What was not measured is left out.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

THREE_DIGITS = 100
COLOURS = ("#1f6f5c", "#b5651d", "#3f5f9f", "#8a4f9e", "#9aa5b1")

type_of_points = list[dict[str, Any]]


def table(heads: list[str], rows: list[list[Any]]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---:|" * len(heads)]
    return lines + ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in rows]


def shown(cell: Any) -> str:
    """Return a cell as text: three digits of a fraction, groups of thousands of a whole number."""
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < THREE_DIGITS else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


class Picture:
    """One plot beside others in a picture."""

    def __init__(self, folder: Path, name: str, titles: list[str]) -> None:
        """Prepare a picture of so many plots."""
        self._file = folder / "plots" / f"growth-{name}.png"
        self._file.parent.mkdir(exist_ok=True)
        self._picture, axes = plt.subplots(1, len(titles), figsize=(5.2 * len(titles), 3.6), squeeze=False, layout="constrained")
        self._axes = axes[0]
        for axis, title in zip(self._axes, titles, strict=True):
            axis.set_title(title, fontsize=10)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)

    def lines(self, index: int, series: dict[str, tuple[list[Any], list[float]]], across: str, *, log: str = "") -> None:
        """Draw a line for each series; `log` names the axes that are logarithmic."""
        axis = self._axes[index]
        for colour, (name, (x, y)) in zip(COLOURS, series.items(), strict=False):
            axis.plot(x, y, marker="o", color=colour, label=name)
        axis.set_xlabel(across)
        if "x" in log:
            axis.set_xscale("log")
        if "y" in log:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)

    def save(self) -> str:
        """Write it and return the line that shows it."""
        self._picture.savefig(self._file, dpi=110)
        plt.close(self._picture)
        return f"![{self._file.stem}](plots/{self._file.name})"


def series(points: type_of_points, x: str, y: str) -> tuple[list[Any], list[float]]:
    """Return the two columns of the points."""
    return [point[x] for point in points], [point[y] for point in points]


def versions(points: type_of_points, folder: Path) -> list[str]:
    """Return the section on registered versions."""
    whats = ("predict", "list", "page", "publish")
    titles = ["predict, p50 in ms", "list models, p50 in ms", "list one model's versions, p50 in ms", "publish, p50 in ms"]
    picture = Picture(folder, "versions", titles)
    for index, what in enumerate(whats):
        lines = {}
        for database in ("sqlite", "postgresql"):
            chosen = [point for point in points if point["database"] == database]
            lines[database] = series(chosen, "versions", f"{what}_large_ms")
            lines[f"{database}, registry of 10"] = series(chosen, "versions", f"{what}_small_ms")
        picture.lines(index, lines, "registered versions", log="x")
    heads = ["database", "versions", *(f"{what} ms" for what in whats), *(f"{what}: ratio" for what in whats)]
    rows = [[point["database"], point["versions"], *(point[f"{what}_large_ms"] for what in whats), *(point[f"{what}_ratio"] for what in whats)] for point in points]  # fmt: skip
    return [
        "## Registered versions",
        "",
        "A registry is filled step by step, ten versions to a model, and asked in turns with one that keeps ten versions.",
        "The ratio is that of the two at the same moment (median of pairs). Bar: the prediction's ratio at 100,000 versions is at most 1.05.",
        "",
        *table(heads, rows),
        "",
        picture.save(),
    ]


def loaded(points: type_of_points, folder: Path) -> list[str]:
    """Return the section on loaded models."""
    picture = Picture(folder, "loaded", ["memory over the fork server, MB of PSS", "predict, p50 in ms"])
    picture.lines(0, {"all workers": series(points, "loaded", "held_mb")}, "loaded models")
    picture.lines(1, {"always the same model": series(points, "loaded", "one_p50_ms"), "any of them": series(points, "loaded", "any_p50_ms")}, "loaded models")  # fmt: skip
    keys = ("loaded", "held_mb", "each_mb", "one_p50_ms", "any_p50_ms", "host_cpu_percent")
    heads = ["loaded", "MB together", "MB each", "same model, ms", "any model, ms", "host process at rest, % of a core"]
    return [
        "## Loaded models",
        "",
        "Logistic regressions on iris, each in a worker of its own. Memory is the PSS of all workers and the fork server,",
        "less that of the fork server before the first load. Bar: at most 15 MB each.",
        "",
        *table(heads, [[point[key] for key in keys] for point in points]),
        "",
        picture.save(),
    ]


def budget(points: type_of_points, folder: Path) -> list[str]:
    """Return the section on a budget that is too small."""
    picture = Picture(folder, "budget", ["requests a second", "latency in ms"])
    picture.lines(0, {"all models in turn": series(points, "connections", "per_second")}, "connections")
    picture.lines(1, {"p50": series(points, "connections", "p50_ms"), "p99": series(points, "connections", "p99_ms")}, "connections")
    keys = ("connections", "requests", "per_second", "p50_ms", "p99_ms", "loads", "evictions", "loaded", "used_mb", "budget_mb")
    return [
        "## 200 models in turn, memory for about 50",
        "",
        "The worst order there is for a cache that drops what was used longest ago: each request meets a version that was evicted.",
        "No request fails.",
        "",
        *table([key.replace("_", " ") for key in keys], [[point[key] for key in keys] for point in points]),
        "",
        picture.save(),
    ]


def web(points: type_of_points, folder: Path) -> list[str]:
    """Return the section on web processes."""
    picture = Picture(folder, "web", ["requests a second", "p50 in ms"])
    by_connections = {f"{count} connections": [point for point in points if point["connections"] == count] for count in (8, 64)}
    for index, key in enumerate(("per_second", "p50_ms")):
        picture.lines(index, {name: series(chosen, "web_processes", key) for name, chosen in by_connections.items()}, "web processes")
    keys = ("web_processes", "connections", "per_second", "p50_ms", "p99_ms")
    return [
        "## Web processes",
        "",
        f"Single rows of iris past the cache; wrk and the service share {os.cpu_count()} cores, so more processes than cores can't be faster.",
        "",
        *table([key.replace("_", " ") for key in keys], [[point[key] for key in keys] for point in points]),
        "",
        picture.save(),
    ]


def bodies(points: type_of_points, folder: Path) -> list[str]:
    """Return the section on body sizes."""
    picture = Picture(folder, "bodies", ["predict, p50 in ms", "microseconds a row"])
    names = [name for name in points[0] if name != "rows"]
    picture.lines(0, {name: series(points, "rows", name) for name in names}, "rows", log="xy")
    for_each = [{"rows": point["rows"]} | {name: 1000 * point[name] / point["rows"] for name in names} for point in points]
    picture.lines(1, {name: series(for_each, "rows", name) for name in names}, "rows", log="xy")
    return [
        "## Body sizes",
        "",
        "A logistic regression of 20 columns; milliseconds over HTTP in each format, beside the estimator's own predict in the asking process.",
        "",
        *table(["rows", *names], [[point["rows"], *(point[name] for name in names)] for point in points]),
        "",
        picture.save(),
    ]


SECTIONS: dict[str, Callable[[type_of_points, Path], list[str]]] = {
    section.__name__: section for section in (versions, loaded, budget, web, bodies)
}


def main(results: Path, folder: Path) -> None:
    """Write the page and its plots."""
    lines = [
        "# How the cost grows with the work",
        "",
        "Written by `benchmarks/growth.py --report`. Each section's figures were taken in turns within one run,",
        "so that its ratios hold where its milliseconds don't.",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}.",
    ]
    for name, section in SECTIONS.items():
        file = results / f"growth-{name}.json"
        if file.is_file():
            kept = json.loads(file.read_text(encoding="utf-8"))
            quick = ", a quick run" if kept["quick"] else ""
            lines += ["", *section(kept["points"], folder), "", f"Measured {kept['measured_at']} UTC{quick}."]
    (folder / "GROWTH.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(folder / "GROWTH.md")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

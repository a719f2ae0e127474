"""Draws a run's figures: requests a second per server, one picture per model. Runs in the environment that has matplotlib.

Arguments: the file of raw figures, the folder to write to. Prints the pictures' names.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.bars import Figures

OURS, THEIRS = "#1f6f5c", "#9aa5b1"
WANTED = {"row-8": ("per_second", "requests a second, 1 row, 8 connections"), "bulk": ("p50_ms", "p50 in ms, 1,000 rows, 1 connection")}


def draw(figures: Figures, model: str, title: str, folder: Path) -> str:
    """Draw a model's picture and return its name; an empty text when nothing was measured."""
    loads = [load for load in WANTED if any(figures.samples(way, model, load) for way in figures.ways)]
    if not loads:
        return ""
    shown = {load: rows_of(figures, model, load) for load in loads}
    height = 1.2 + 0.28 * max(len(rows) for rows in shown.values())
    picture, axes = plt.subplots(1, len(loads), figsize=(9 * len(loads), height), squeeze=False, layout="constrained")
    for axis, load in zip(axes[0], loads, strict=True):
        bars(axis, shown[load], WANTED[load][1])
    picture.suptitle(title)
    name = f"side-by-side-{model}.png"
    picture.savefig(folder / name, dpi=110)
    plt.close(picture)
    return name


def rows_of(figures: Figures, model: str, load: str) -> list[tuple[str, list[float], str]]:
    """Return title, values and colour of each bar, the best last, which is drawn on top; floors would only squeeze the others."""
    rows = []
    for way, about in figures.ways.items():
        samples = figures.samples(way, model, load)
        if samples and not about["floor"] and not figures.errors(way, model, load):
            rows.append((about["title"], sorted(sample[WANTED[load][0]] for sample in samples), OURS if about["ours"] else THEIRS))
    return sorted(rows, key=lambda row: row[1][len(row[1]) // 2], reverse=load == "bulk")


def bars(axis: Any, rows: list[tuple[str, list[float], str]], words: str) -> None:
    """Draw the medians as bars, with whiskers from the least to the most."""
    for index, (_, values, colour) in enumerate(rows):
        middle = values[len(values) // 2]
        axis.barh(index, middle, color=colour, xerr=[[middle - values[0]], [values[-1] - middle]], error_kw={"elinewidth": 1})
        axis.annotate(
            f"{middle:,.4g}",
            (values[-1], index),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.set_yticks(range(len(rows)), [title for title, _, _ in rows], fontsize=8)
    axis.set_xlabel(words)
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for drawn in (draw(Figures(run), name, words, Path(sys.argv[2])) for name, words in run["models"].items()):
        if drawn:
            print(drawn)

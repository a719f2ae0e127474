"""The page of results, made from a run's raw figures alone, so that it can be made again without measuring.

No figure on the page is typed by hand. A row whose requests failed says so instead of showing a rate.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.bars import EXACT, Figures, NotMeasured, all_bars

Row = list[str]
BEGIN, END = "<!-- side by side: written by benchmarks.side_by_side -->", "<!-- end of side by side -->"


def page(run: dict[str, Any], plots: list[str]) -> str:
    """Return the whole page as Markdown."""
    figures = Figures(run)
    parts = ["# Side by side", _about(run), "## Bars", _bars(figures)]
    for model, title in run["models"].items():
        tables = [_table(figures, model, load, words) for load, words in run["loads"].items()]
        if any(tables):
            parts += [
                f"## {title[0].upper()}{title[1:]}",
                *(f"![{model}]({plot})" for plot in plots if f"-{model}." in plot),
                *filter(None, tables),
            ]
    parts += ["## Start and memory", _starts(run), "## Contenders and their settings", _settings(run)]
    if run["absent"]:
        parts += ["## Not measured", _absent(run)]
    if run["remarks"]:
        parts += ["## Remarks", "\n".join(f"- {remark['contender']}, {remark['model']}: {remark['remark']}." for remark in run["remarks"])]
    return "\n\n".join(parts) + "\n"


def merged(old: str, new: str) -> str:
    """Put the page between its marks in what stands there already, leaving the rest as it is."""
    block = f"{BEGIN}\n\n{new}\n{END}\n"
    if BEGIN not in old or END not in old:
        return block + ("\n" + old if old else "")
    return old.partition(BEGIN)[0] + block + old.partition(END)[2].removeprefix("\n")


def table(head: Row, rows: list[Row], numbers: int = 0) -> str:
    """Return a Markdown table; the last `numbers` columns are set to the right."""
    rule = ["---"] * (len(head) - numbers) + ["--:"] * numbers
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def _about(run: dict[str, Any]) -> str:
    machine = run["machine"]
    lengths = ", ".join(f"{length['model']} {length['seconds']:.1f}" for length in run["lengths"])
    lines = [
        f"- machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux {machine['kernel']}, Python {machine['python']}",
        f"- run: {run['date']}, Modelyard at {run['commit']}, wrk {run['wrk']} with one thread on the same machine; load average before it {machine['load_average']:.1f}",
        f"- command: `{run['command']}`",
        f"- each figure: the median of {run['repetitions']} repetitions in turns, and their range; seconds a load: {lengths}",
        "- every request carries a row that was never sent before, but for cache hits; every server's answers were compared with the estimator's first",
        "- ratio: this server's requests a second to those of Modelyard with the cache bypassed, in the same table",
        "- CPU: user and system seconds per 1,000 requests, over every process of the server",
        "- Modelyard with everything on: key, limit, audit, metrics, logs; the others check, count and audit nothing",
    ]
    return "\n".join(lines)


def _bars(figures: Figures) -> str:
    bars = all_bars(figures)
    rows = [
        [
            bar.text,
            f"{'at least' if bar.at_least else 'at most'} {bar.needed:g}",
            "" if bar.found is None else f"{bar.found:.2f}",
            bar.detail,
            bar.verdict,
        ]
        for bar in bars
        if bar.planned
    ]
    text = table(["bar", "needed", "found", "of", "verdict"], rows)
    return (
        text
        if len(rows) == len(bars)
        else f"{text}\n\n{len(bars) - len(rows)} more bars need contenders, models or loads that this run left out."
    )


def _table(figures: Figures, model: str, load: str, words: str) -> str:
    ways = [way for way in figures.ways if figures.samples(way, model, load)]
    if not ways:
        return ""
    bulk = load == "bulk"
    rows = sorted(((_rate(figures, way, model, load), way) for way in ways), reverse=True)
    head = [
        "server",
        "requests/s",
        "range",
        "ratio",
        "p50 ms",
        "p99 ms",
        "CPU s per 1,000",
        "errors",
        *(["p50 less bare predict, ms"] if bulk else []),
    ]
    text = table(head, [_row(figures, way, model, load) for _, way in rows], len(head) - 1)
    bare = ""
    if bulk:
        bare = f"\n\nThe bare `predict` of these rows, beside it with one thread: {figures.bare(model, 'bulk_ms'):.2f} ms."
    return f"### {words[0].upper()}{words[1:]}\n\n{text}{bare}"


def _rate(figures: Figures, way: str, model: str, load: str) -> float:
    return statistics.median(sample["per_second"] for sample in figures.samples(way, model, load))


def _row(figures: Figures, way: str, model: str, load: str) -> Row:
    about = figures.ways[way]
    title = f"**{about['title']}**" if about["ours"] else about["title"]
    samples = figures.samples(way, model, load)
    errors = figures.errors(way, model, load)
    unmet = next((sample["unmet"] for sample in samples if sample.get("unmet")), "")
    if unmet:
        title += f" ({unmet})"
    if errors:
        return [title, "failed", "", "", "", "", "", str(errors), *([""] if load == "bulk" else [])]
    rates = [sample["per_second"] for sample in samples]
    p50, p99, cpu = (statistics.median(sample[figure] for sample in samples) for figure in ("p50_ms", "p99_ms", "cpu_per_1000"))
    cells = [
        title,
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f} to {max(rates):,.0f}",
        _ratio(figures, statistics.median(rates), model, load),
    ]
    cells += [f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.3f}", "0"]
    if load == "bulk":
        cells.append(f"{p50 - figures.bare(model, 'bulk_ms'):.2f}")
    return cells


def _ratio(figures: Figures, rate: float, model: str, load: str) -> str:
    try:
        reference = figures.median(EXACT, model, load, "per_second")
    except NotMeasured:
        return ""
    return f"{rate / reference:.2f}"


def _starts(run: dict[str, Any]) -> str:
    """Return a table of the time to the first good answer and of memory, per contender and model."""
    models = list(run["models"])
    rows = []
    for contender in dict.fromkeys(about["contender"] for about in run["ways"].values()):
        starts = {model: _values(run["starts"], contender, model, "seconds") for model in models}
        memory = {model: _values(run["memory"], contender, model, "pss_bytes") for model in models}
        processes = [entry["processes"] for entry in run["memory"] if entry["contender"] == contender]
        if any(starts.values()):
            cells = [f"{statistics.median(values):.1f}" if values else "" for values in starts.values()]
            cells += [f"{statistics.median(values) / 1e6:,.0f}" if values else "" for values in memory.values()]
            rows.append([contender, str(max(processes, default=0)), *cells])
    head = ["server", "processes", *(f"{model}, s" for model in models), *(f"{model}, MB" for model in models)]
    words = "Seconds from starting the command to the first good answer with the model's file at hand, and memory (PSS over all processes) after the loads."
    return f"{words}\n\n{table(head, rows, len(head) - 1)}"


def _values(entries: list[dict[str, Any]], contender: str, model: str, figure: str) -> list[float]:
    return [entry[figure] for entry in entries if entry["contender"] == contender and entry["model"] == model and entry[figure] is not None]


def _settings(run: dict[str, Any]) -> str:
    rows = [
        [
            about["title"],
            about["versions"],
            about["estimator"] or "none",
            "its own" if about["math_threads"] is None else str(about["math_threads"]),
            about["settings"],
        ]
        for about in run["ways"].values()
    ]
    return table(["server", "versions", "estimator", "OpenMP and BLAS threads", "settings"], rows)


def _absent(run: dict[str, Any]) -> str:
    rows = [
        [run["ways"][entry["way"]]["title"], entry["model"] or "all", entry["reason"].replace("|", "/").replace("\n", " ")]
        for entry in run["absent"]
    ]
    return table(["server", "model", "why"], rows)

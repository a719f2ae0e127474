"""Tables and cards for people: fitted to a terminal by Rich, plain and untruncated in a pipe.

Every text goes through `plain` and is never read as markup. No colour goes into a pipe, whatever the environment asks for, and
none anywhere under NO_COLOR.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from modelyard.cli.printing import is_terminal, note, plain, print_document

T = TypeVar("T")
#: A longer text is folded rather than given so much room.
MOST_WANTED = 40
FEWEST_COLUMNS = 3
_GAP = "  "
_RULE = "   "


def print_list(rows: Iterable[dict[str, Any]], *, as_json: bool, limit: int, nothing: str) -> None:
    """Print records as a table, or their `raw` members as a JSON array; say so where there are more than `limit`."""
    taken, more = up_to(rows, limit)
    if as_json:
        print_document([row["raw"] for row in taken])
    elif taken:
        print_table([{name: cell for name, cell in row.items() if name != "raw"} for row in taken])
    else:
        note(nothing)
    if more:
        note(f"There are more than {limit}; --limit 0 prints all.")


def up_to(items: Iterable[T], limit: int) -> tuple[list[T], bool]:
    """Return the first `limit` items, or all for 0, and whether there are more."""
    if not limit:
        return list(items), False
    taken = list(islice(items, limit + 1))
    return taken[:limit], len(taken) > limit


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows under their names. On a terminal, columns that are empty or have no room are left out, the last ones first."""
    print_rows(list(rows[0]), [list(row.values()) for row in rows])


def print_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print the same where two names may be equal, as labels of others may."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not is_terminal():
        _print_plain(names, cells)
        return
    console = _console()
    shown, hidden = _fitting(names, cells, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style=_style(console, bold=True))
    for index in shown:
        right = all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(Text(plain(names[index])), justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    console.print(table)
    if hidden:
        note(f"No room for {', '.join(map(plain, hidden))}: make the terminal wider, or add --json.")


def _fitting(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[str]]:
    """Return the columns to show, and the names of those that hold something and have no room."""
    filled = [index for index in range(len(names)) if any(row[index] for row in cells)]
    wanted = {index: min(MOST_WANTED, max(cell_len(text) for text in (names[index], *(row[index] for row in cells)))) for index in filled}
    shown = list(filled)
    while len(shown) > FEWEST_COLUMNS and sum(wanted[index] + len(_RULE) for index in shown) - len(_RULE) > width:
        shown.pop()
    return shown, [names[index] for index in filled[len(shown) :]]


def print_card(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print one record: a name and a text on each line; what is empty is left out."""
    lines: list[tuple[str, str]] = [found for name, value in pairs for found in _lines(name, value)]
    width = max((len(name) for name, _ in lines), default=0)
    if not is_terminal():
        sys.stdout.write("".join(f"{name.ljust(width)}{_GAP}{line}".rstrip() + "\n" for name, line in lines))
        sys.stdout.flush()
        return
    console = _console()
    card = Table.grid(padding=(0, 2))
    card.add_column(style=_style(console, bold=True), no_wrap=True)
    card.add_column(overflow="fold")
    for name, line in lines:
        card.add_row(Text(name), Text(line))
    console.print(card)


def _lines(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the lines of one entry, the name on the first alone."""
    texts = value if isinstance(value, list | tuple) else str(value).split("\n") if value is not None else []
    shown = [plain(text) for text in texts]
    if any(shown):
        yield from zip([name] + [""] * (len(shown) - 1), shown, strict=True)


def _print_plain(names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [[plain(name).upper() for name in names], *cells]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(names))]
    for line in lines:
        padded = _GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(padded.rstrip() + "\n")
    sys.stdout.flush()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else plain(value)


def _console() -> Console:
    # told, not guessed: the environment could ask for colours in a pipe
    return Console(file=sys.stdout, force_terminal=is_terminal(), markup=False, highlight=False, emoji=False)


def _style(console: Console, *, bold: bool) -> Style:
    return Style.null() if console.no_color else Style(bold=bold)

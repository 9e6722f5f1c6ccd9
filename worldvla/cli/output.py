"""What commands print: tables for people, or one JSON array of objects and nothing else."""

import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

# With more columns than this, records stand side by side and their fields beneath each other.
WIDEST = 12
GUTTER = 3  # between two columns of a table
LEAST_SENTENCE = 16  # columns in which a reason can be read
PIPE_WIDTH = 240
# All but the tab and the line's end: the escape character begins what a terminal obeys.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURS = {"fresh": "green", "stale": "yellow", "missing": "red"}


def emit(
    rows: list[dict[str, Any]], as_json: bool, title: str | None = None, columns: Sequence[str] | None = None
) -> None:
    """Prints rows on standard output; `columns` chooses what people see, JSON always has everything."""
    if as_json:
        print(_json(rows))
        return
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        print(f"{title or 'result'}: nothing")
        return
    names = list(columns or rows[0])
    if len(names) > WIDEST and len(rows) <= len(names) and (head := _head(rows, names)):
        rows, names = _transposed(rows, head, names)
    table = Table(title=title and escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    whole = _kept_whole(rows, names)
    for name in names:
        numeric = all(isinstance(row.get(name), int | float) or row.get(name) is None for row in rows)
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    _console().print(table)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `4 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours >= 72:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


@contextmanager
def steps(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error; calling what it yields names the next of `total` steps. Quiet on a pipe."""
    from tqdm import tqdm

    with tqdm(total=total, desc=title, unit="step", leave=False, disable=None) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        yield step


def say(text: str) -> None:
    """A line for people, on standard error, so that standard output stays data."""
    print(printable(text), file=sys.stderr)


def printable(text: str) -> str:
    """The text with control characters spelled out: what stands in a table must not steer the terminal."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _head(rows: list[dict[str, Any]], names: list[str]) -> str | None:
    """The first field that tells the records apart."""
    return next((name for name in names if len({_plain_cell(row[name]) for row in rows}) == len(rows)), None)


def _transposed(rows: list[dict[str, Any]], head: str, names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """One row a field, one column a record, under its field `head`."""
    heads = [_plain_cell(row[head]) for row in rows]
    rest = [name for name in names if name != head]
    turned = [{head: name, **{title: row[name] for title, row in zip(heads, rows, strict=True)}} for name in rest]
    return turned, [head, *heads]


def _kept_whole(rows: list[dict[str, Any]], names: Sequence[str]) -> set[str]:
    """Columns that must not wrap, because half a name is no name; none where they would not fit."""
    widths = {}
    for name in names:
        words = [name, *(_plain_cell(row.get(name)) for row in rows)]
        if not any(" " in word for word in words):
            widths[name] = max(map(len, words)) + GUTTER
    rest = sum(LEAST_SENTENCE + GUTTER for name in names if name not in widths)
    return set(widths) if sum(widths.values()) + rest <= width() else set()


def width() -> int:
    """Columns that a table may take. A pipe has no width: nothing is folded there."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH


def _console() -> Any:
    from rich.console import Console

    return Console(width=width())


def _cell(value: Any) -> str:
    """As rich reads it, which takes words in brackets for its own."""
    from rich.markup import escape

    text = _plain_cell(value)
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else escape(text)


def _plain_cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return printable(value if isinstance(value, str) else str(value))


def _json(rows: list[dict[str, Any]]) -> str:
    try:
        return json.dumps(rows, default=_plain, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(rows), default=_plain, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return _finite(value.tolist()) if hasattr(value, "tolist") else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)

"""What commands print: tables for people, or one JSON array of objects and nothing else."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

# With more columns than this, records stand side by side and their fields beneath each other.
WIDEST = 12
COLOURS = {"fresh": "green", "stale": "yellow", "missing": "red"}


def emit(
    rows: list[dict[str, Any]], as_json: bool, title: str | None = None, columns: Sequence[str] | None = None
) -> None:
    """Prints rows on standard output; `columns` chooses what people see, JSON always has everything."""
    if as_json:
        print(json.dumps(rows, default=_plain, ensure_ascii=False))
        return
    from rich import box
    from rich.table import Table

    if not rows:
        print(f"{title or 'result'}: nothing")
        return
    names = list(columns or rows[0])
    if len(names) > WIDEST and len(rows) <= len(names):
        rows, names = _transposed(rows, names)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numeric = all(isinstance(row.get(name), int | float) or row.get(name) is None for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    _console().print(table)


def say(text: str) -> None:
    """A line for people, on standard error, so that standard output stays data."""
    print(text, file=sys.stderr)


def _transposed(rows: list[dict[str, Any]], names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """One row a field, one column a record, headed by the record's first field."""
    first, *rest = names
    heads = [_cell(row[first]) for row in rows]
    return [{first: name, **{head: row[name] for head, row in zip(heads, rows, strict=True)}} for name in rest], [
        first,
        *heads,
    ]


def _console() -> Any:
    from rich.console import Console

    # A pipe has no width: fold nothing there.
    return Console() if sys.stdout.isatty() else Console(width=240)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:.3g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    text = value if isinstance(value, str) else str(value)
    colour = COLOURS.get(text)
    if colour:
        return f"[{colour}]{text}[/{colour}]"
    return text.replace("[", "\\[")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)

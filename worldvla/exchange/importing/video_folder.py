"""A folder of videos and one table of their actions: the least that one's own robot needs to write.

The table is `actions.csv` or `actions.parquet` (or the only table there is), a row a video frame, rows of one video
together and in order. Column `video` names the file; the others are fields by their names: `action_0` to `action_6`
are found by themselves, as are `state_0` and so on, `timestamp`, `success`, `instruction`. Row t's action is taken at
what frame t shows; one frame more than rows is what the last action led to. A take is known by its video and its own
rows, so a table that takes were added to, anywhere, brings in those alone.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from worldvla.errors import UserError
from worldvla.exchange.importing import video
from worldvla.exchange.importing.mapping import exactly
from worldvla.exchange.importing.record import Broken, Field, Unmappable, own_digest
from worldvla.exchange.importing.runs import ROWS, column, runs

KEY = "video"
IMAGE = "video"
TABLES = (".csv", ".parquet")
PREFERRED = ("actions.csv", "actions.parquet")
BLOCK = 1 << 20  # bytes of a CSV read at once
SAME_RATE = 0.01  # 29.97 and 30 frames a second are one rate


@dataclass(frozen=True)
class VideoRecord:
    """One video and its rows."""

    path: Path
    table: pa.Table
    files: tuple[str, ...]
    position: str
    number: int
    shared: tuple[str, ...]
    task: str | None = None
    instruction: str | None = None
    camera_stride: int = 1

    @property
    def own(self) -> str:
        return own_digest(self.table.to_pydict())

    def rows(self, name: str) -> np.ndarray:
        return column(self.table, name)

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        return video.pictures(self.path)


@dataclass(frozen=True)
class Archive:
    """The folder and the name of its table."""

    root: Path
    name: str

    @property
    def address(self) -> str:
        return str(self.root)

    def fields(self) -> dict[str, Field]:
        found = {one.name: _field(one.type) for one in self._schema if one.name != KEY}
        return found | {IMAGE: Field(self._size, "uint8")}

    def defaults(self) -> dict[str, str]:
        names = [one.name for one in self._schema]
        numbered = {stem: _numbered(names, stem) for stem in ("action", "state")}
        entries = {
            "image": IMAGE,
            "actions": "+".join(numbered["action"]) if len(numbered["action"]) == 7 else None,
            "proprio": "+".join(numbered["state"]),
            **{name: name for name in ("success", "instruction", "timestamp") if name in names},
            "fps": exactly(self._rate) if self._rate else None,
        }
        return {key: value for key, value in entries.items() if value}

    def notes(self) -> dict[str, str]:
        return {}

    def count(self) -> int | None:
        return len(self._videos()) or None

    def records(self, image: str) -> Iterator[VideoRecord | Broken]:
        seen: set[str] = set()
        odd: dict[str, str] = {}  # rows of another number of cells, by their video
        number = 0
        try:
            for before, (name, table), after in _with_neighbours(runs(self._batches(odd), KEY)):
                if name is None:
                    reason = f"{self.name}: {len(table)} rows after those of {number} takes have no {KEY}: fill them in"
                    yield Broken((self.name,), f"rows without a {KEY} after {number}", _nameless(reason))
                    continue
                files = (str(name), self.name)
                record = self._record(str(name), table, files, number, seen)
                if str(name) in odd:
                    record = Broken(files, f"rows of {name}", Unmappable("shape_mismatch", odd[str(name)]))
                elif any(one is not None and one[0] is None for one in (before, after)):
                    reason = f"{self.name}: rows beside those of {name} have no {KEY} and may be of it: fill them in"
                    record = Broken(files, f"rows of {name}", _nameless(reason))
                yield record
                seen.add(str(name))
                number += 1
        except (pa.ArrowInvalid, OSError) as error:
            yield Broken((self.name,), f"after video {number}", Unmappable("file_unreadable", f"{self.name}: {error}"))
            return
        for name in sorted(odd.keys() - seen):
            yield Broken((self.name,), f"row of {name}", Unmappable("shape_mismatch", odd[name]))
        named = {(self.root / name).resolve() for name in seen}
        others = [str(one.relative_to(self.root)) for one in self._videos() if one.resolve() not in named]
        if others:
            some = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
            reason = f"{self.name} has no rows of {len(others)} videos, which are left out: {some}"
            yield Broken((self.name,), f"{len(others)} videos without rows", Unmappable("field_missing", reason))

    def _record(
        self, name: str, table: pa.Table, files: tuple[str, ...], number: int, seen: set[str]
    ) -> VideoRecord | Broken:
        path = self.root / name
        position = f"rows of {name}"
        if name in seen:
            reason = f"{self.name}: the rows of {name} stand in several places; sort the table by video"
            return Broken(files, f"{position}, again at {number}", Unmappable("shape_mismatch", reason))
        if not path.resolve().is_relative_to(self.root.resolve()) or not path.is_file():
            return Broken(
                (self.name,), position, Unmappable("file_unreadable", f"{name}, which {self.name} names, is not there")
            )
        if (rate := _declared_rate(path)) and self._rate and abs(rate / self._rate - 1) > SAME_RATE:
            reason = f"{name} has {rate:g} frames a second, the first take {self._rate:g}: give them a folder each"
            return Broken(files, position, Unmappable("layout_differs", reason))
        return VideoRecord(path, table if self._is_parquet else _numbers(table), files, position, number, (self.name,))

    def _batches(self, odd: dict[str, str]) -> Iterator[pa.RecordBatch]:
        path = self.root / self.name
        if self._is_parquet:
            yield from pq.ParquetFile(path).iter_batches(ROWS)
            return
        # As texts, so that a cell which is no number costs its own record and not the whole column.
        kinds = {one.name: pa.string() for one in self._schema}
        options = {"read_options": pyarrow.csv.ReadOptions(block_size=BLOCK)}
        convert = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True)
        parse = pyarrow.csv.ParseOptions(invalid_row_handler=self._keep_in(odd))
        with pyarrow.csv.open_csv(path, **options, convert_options=convert, parse_options=parse) as reader:
            yield from reader

    def _keep_in(self, odd: dict[str, str]) -> Callable[[pyarrow.csv.InvalidRow], str]:
        """What the reader asks about a row of another number of cells: it is remembered, and its take refused."""
        place = self._schema.names.index(KEY)

        def keep(row: pyarrow.csv.InvalidRow) -> str:
            cells = next(csv.reader([row.text]), [])
            reason = (
                f"{self.name} has a row of {row.actual_columns} cells, not {row.expected_columns}: {row.text[:60]!r}"
            )
            odd[cells[place] if place < len(cells) else "no video"] = reason
            return "skip"

        return keep

    def _videos(self) -> list[Path]:
        """Cameras write `.MP4` as well."""
        return sorted(one for one in self.root.rglob("*") if one.suffix.lower() == ".mp4")

    @property
    def _is_parquet(self) -> bool:
        return self.name.lower().endswith(".parquet")

    @cached_property
    def _schema(self) -> pa.Schema:
        path = self.root / self.name
        try:
            if self._is_parquet:
                schema = pq.ParquetFile(path).schema_arrow
            else:
                ignored = pyarrow.csv.ParseOptions(invalid_row_handler=lambda row: "skip")
                with pyarrow.csv.open_csv(path, parse_options=ignored) as reader:
                    schema = reader.schema
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} cannot be read as a table: {error}") from error
        if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
            raise UserError(f"{path} has several columns {', '.join(map(repr, twice))}: give each a name of its own")
        if KEY not in schema.names:
            raise UserError(f"{path} has no column {KEY!r}, which names the video of a row; it has {schema.names}")
        return schema

    @cached_property
    def _first(self) -> tuple[int, int, float]:
        for path in (*self._named_first(), *self._videos()):
            try:
                return video.size_of(path)
            except Unmappable:
                continue
        raise UserError(f"{self.root} has no .mp4 file that can be opened")

    def _named_first(self) -> list[Path]:
        """The videos that the first rows of the table name: others lie in the folder for other ends."""
        try:
            batch = next(iter(self._batches({})), None)
        except (pa.ArrowInvalid, OSError):
            return []
        names = dict.fromkeys(filter(None, map(str, batch[KEY].to_pylist()))) if batch else {}
        return [path for name in names if (path := self.root / name).is_file()]

    @property
    def _size(self) -> tuple[int, int, int]:
        return (*self._first[:2], 3)

    @property
    def _rate(self) -> float:
        return self._first[2]


def open_archive(path: str, suite: str) -> Archive:
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"{root} is no folder")
    found = sorted(one.name for one in root.iterdir() if one.suffix.lower() in TABLES)
    chosen = next((name for name in found if name.lower() in PREFERRED), found[0] if len(found) == 1 else None)
    if chosen is None:
        what = "several tables" if found else "no table"
        raise UserError(f"{root} has {what}; call the one of actions {' or '.join(PREFERRED)}")
    return Archive(root, chosen)


Run = tuple[Any, pa.Table]


def _with_neighbours(found: Iterable[Run]) -> Iterator[tuple[Run | None, Run, Run | None]]:
    """Each run with the one before it and the one after it."""
    before = this = None
    for after in chain(found, (None,)):
        if this is not None:
            yield before, this, after
        before, this = this, after


def _nameless(reason: str) -> Unmappable:
    return Unmappable("field_missing", reason)


def _declared_rate(path: Path) -> float:
    """Frames a second; 0 where the file does not say, or is none: that is told where its pictures are read."""
    try:
        return video.size_of(path)[2]
    except Unmappable:
        return 0.0


def _numbered(names: list[str], stem: str) -> list[str]:
    """`action_0`, `action_1`, … as far as there are all."""
    found = []
    while (name := f"{stem}_{len(found)}") in names:
        found.append(name)
    return found


def _numbers(table: pa.Table) -> pa.Table:
    """Columns of texts as numbers, or as true and false, where all of their texts are; the others as they are."""
    for index, name in enumerate(table.column_names):
        if name == KEY:
            continue
        for kind in (pa.float64(), pa.bool_()):
            try:
                table = table.set_column(index, name, pc.cast(pc.utf8_trim_whitespace(table[name]), kind))
                break
            except pa.ArrowInvalid:
                continue
    return table


def _field(kind: pa.DataType) -> Field:
    if pa.types.is_fixed_size_list(kind):
        return Field((kind.list_size,), str(kind.value_type))
    return Field((), "text" if pa.types.is_string(kind) else str(kind))

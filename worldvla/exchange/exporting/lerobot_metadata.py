"""A row of metadata an episode, written as episodes come: v3.0 keeps them in Parquet, v2.1 in lines of JSON."""

import json
from pathlib import Path
from typing import Any, Protocol, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from worldvla.exchange import lerobot_layout as layout
from worldvla.exchange.exporting.parquet import EPISODES_SCHEMA

# Rows that are held until they become a row group.
GROUP = 1000

Lists = dict[str, dict[str, list]]


class EpisodesMetadata(Protocol):
    """`row` as `meta/episodes` has it, `stats` by feature and name (`lerobot_stats`), `provenance` by column."""

    def add(self, row: dict[str, Any], stats: Lists, provenance: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def open_metadata(folder: Path, is_v30: bool) -> EpisodesMetadata:
    return _Parquet(folder) if is_v30 else _Lines(folder)


class _Parquet:
    """v3.0: all in one file, statistics in columns `stats/FEATURE/NAME`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / layout.EPISODES_V30.format(chunk_index=0, file_index=0)
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._provenance: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], stats: Lists, provenance: dict[str, Any]) -> None:
        flat = {f"stats/{feature}/{name}": value for feature, one in stats.items() for name, value in one.items()}
        self._rows.append(row | flat | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        self._provenance.append(provenance)
        if len(self._rows) >= GROUP:
            self._write()

    def close(self) -> None:
        if self._rows:
            self._write()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self) -> None:
        table = pa.Table.from_pylist(self._rows)
        provenance = pa.Table.from_pylist(self._provenance, EPISODES_SCHEMA)
        for name in provenance.column_names:
            table = table.append_column(layout.PROVENANCE + name, provenance[name])
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))
        self._rows.clear()
        self._provenance.clear()


class _Lines:
    """v2.1: an episode's statistics in a file of their own."""

    def __init__(self, folder: Path) -> None:
        self._episodes = _appending(folder / layout.EPISODES_V21)
        self._stats = _appending(folder / layout.EPISODES_STATS_V21)

    def add(self, row: dict[str, Any], stats: Lists, provenance: dict[str, Any]) -> None:
        known = {name: row[name] for name in ("episode_index", "tasks", "length")}
        known |= {layout.PROVENANCE + name: value for name, value in provenance.items()}
        self._episodes.write(json.dumps(known) + "\n")
        self._stats.write(json.dumps({"episode_index": row["episode_index"], "stats": stats}) + "\n")

    def close(self) -> None:
        self._episodes.close()
        self._stats.close()


def _appending(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w")

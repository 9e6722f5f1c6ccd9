"""Plain Parquet: `episodes.parquet`, a row an episode with its provenance; `frames-NNNNN.parquet`, a row a state.

The columns are those of the lake's tables `episodes` and `frames` (docs/tables.md), pictures as they were encoded, so
nothing is lost. The rows of an episode lie together, in one row group.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worldvla.episodes.episode import Episode
from worldvla.lake.episodes import frame_rows
from worldvla.lake.tables import TABLES

EPISODES = "episodes.parquet"
FRAMES = "frames-{:05d}.parquet"
FILE_BYTES = 512 * 2**20
# Beside the columns of table `episodes`: the node that published it first, and what the selection says of it.
PLACED = ("asset", "campaign", "iteration", "sans", "label", "split", "rule")
EPISODES_SCHEMA = pa.schema([*TABLES["episodes"].schema, *(pa.field(name, pa.string()) for name in PLACED)])


class ParquetWriter:
    """Writes frames as they come, a new file when one is full, and the episodes at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: list[dict[str, Any]] = []
        self._files = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, episode: Episode, provenance: dict[str, Any]) -> None:
        if self._writer is None:
            path = self.folder / FRAMES.format(self._files)
            self._writer = pq.ParquetWriter(path, TABLES["frames"].schema, compression="zstd")
            self._files += 1
        self._writer.write_table(TABLES["frames"].arrow(list(frame_rows(episode))))
        self._rows.append(provenance)
        if (self.folder / FRAMES.format(self._files - 1)).stat().st_size >= FILE_BYTES:
            self.close()

    def finish(self) -> None:
        table = pa.Table.from_pylist(self._rows, schema=EPISODES_SCHEMA)
        pq.write_table(table, self.folder / EPISODES, compression="zstd")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

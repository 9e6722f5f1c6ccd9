"""LeRobot v2.1 and v3.0 without lerobot: Parquet rows and MP4 videos, here or on the hub.

A row holds a state, the action taken in it, and what came of it (`next.success`, `next.reward`, `next.done`). In a
dataset that `worldvla export` wrote, the last row has no action of its own, and columns `worldvla.…` are of the state
that the row shows, so nothing is lost. The layout is `worldvla.exchange.lerobot_layout`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldvla.episodes.images import decode_image
from worldvla.errors import UserError
from worldvla.exchange import lerobot_layout as layout
from worldvla.exchange.importing import video
from worldvla.exchange.importing.hub import Place, place
from worldvla.exchange.importing.mapping import exactly
from worldvla.exchange.importing.record import Broken, Field, Unmappable, exported_stride, own_digest
from worldvla.exchange.importing.runs import ROWS, column, runs

TASK = layout.PROVENANCE + "task"
INITIAL_STATE = layout.PROVENANCE + "initial_state"
SETTINGS = layout.PROVENANCE + "settings"
SUCCESS = ("next.success",)
OWN = {"success": f"{layout.REWARD}@state", "progress": layout.PROGRESS, "gripper": "1:-1"}


@dataclass(frozen=True)
class LeRobotRecord:
    """One episode: its row of metadata, and its rows of data."""

    archive: "Archive"
    meta: dict[str, Any]
    table: pa.Table
    files: tuple[str, ...]
    shared: tuple[str, ...] = ()
    camera_stride: int = 1

    @property
    def own(self) -> str:
        return own_digest(self.meta)

    @property
    def number(self) -> int:
        return int(self.meta["episode_index"])

    @property
    def position(self) -> str:
        return f"episode {self.number}"

    @property
    def task(self) -> str | None:
        return self.meta.get(TASK)

    @property
    def instruction(self) -> str | None:
        """Raises `Unmappable` where there are several: which of them an episode is of, its rows would have to say."""
        tasks = self.meta.get("tasks")
        tasks = [tasks] if isinstance(tasks, str) else tasks or []
        said = list(dict.fromkeys(one.strip() for one in tasks if isinstance(one, str) and one.strip()))
        if len(said) > 1:
            reason = f"{self.position} has {len(said)} tasks: {', '.join(map(repr, said))}; --instruction says which"
            raise Unmappable("instruction_unknown", reason)
        return said[0] if said else None

    def rows(self, name: str) -> np.ndarray:
        if name == INITIAL_STATE:
            if self.meta.get(name) is None:
                raise Unmappable("field_missing", f"the metadata of episode {self.number} have no {name}")
            return np.asarray(self.meta[name], np.float64)
        return column(self.table, name)

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        info = self.archive.info
        if name in info.image_keys:
            if name not in self.table.column_names:
                raise Unmappable("field_missing", f"the table has no column {name}")
            yield from (self._inline(cell.as_py()) for cell in self.table[name])
            return
        path = self.archive.place.root / self.archive.video_file(name, self.meta)
        begin, end = 0.0, None
        if info.version == layout.V30:
            try:
                begin, end = (float(self.meta[f"videos/{name}/{one}_timestamp"]) for one in ("from", "to"))
            except (KeyError, TypeError) as error:
                reason = f"the metadata of {self.position} do not say when it is in the video: {error!r}"
                raise Unmappable("field_missing", reason) from error
        yield from video.pictures(path, begin, end)

    def _inline(self, cell: dict | None) -> np.ndarray | None:
        data = cell.get("bytes") if isinstance(cell, dict) else None
        try:
            return decode_image(data) if data else None
        except OSError:
            return None


@dataclass(frozen=True)
class Archive:
    """A dataset whose description could be read."""

    place: Place
    info: layout.Info

    @property
    def root(self) -> Path:
        return self.place.root

    @property
    def address(self) -> str:
        return self.place.address

    def fields(self) -> dict[str, Field]:
        found = {}
        for name, one in self.info.features.items():
            shape = tuple(one["shape"])
            if one["dtype"] in ("video", "image"):
                shape = (*shape[1:], shape[0]) if shape[0] == 3 and shape[-1] != 3 else shape
                found[name] = Field(shape, "uint8")
            else:
                found[name] = Field(() if shape == (1,) else shape, one["dtype"])
        if layout.REWARD in found and self._has_initial_states:
            found[INITIAL_STATE] = Field((), "float64", per_episode=True)
        return found

    def defaults(self) -> dict[str, str]:
        features = self.info.features
        pictures = [*self.info.video_keys, *self.info.image_keys]
        is_own = layout.REWARD in features
        image = layout.IMAGE if layout.IMAGE in pictures else (pictures[0] if pictures else None)
        entries = {
            "image": image,
            "proprio": layout.STATE if layout.STATE in features else None,
            "actions": layout.ACTION if layout.ACTION in features else None,
            "success": next((one for one in SUCCESS if one in features), None),
            "timestamp": "timestamp" if "timestamp" in features else None,
            "fps": exactly(self.info.fps),
        }
        if is_own:
            clock = layout.CLOCK if layout.CLOCK in features else None
            state = INITIAL_STATE if self._has_initial_states else None
            entries |= {**OWN, "timestamp": clock, "state": state}
        return {key: value for key, value in entries.items() if value}

    def notes(self) -> dict[str, str]:
        return {}

    def count(self) -> int | None:
        return self.info.total_episodes

    def records(self, image: str) -> Iterator[LeRobotRecord | Broken]:
        reader = _Rows(self)
        described = 0
        for meta in self._metadata():
            if isinstance(meta, Broken):
                yield meta
                continue
            described += 1
            position, files = f"episode {meta.get('episode_index')}", (layout.INFO,)
            try:
                name = self.data_file(meta)
                files = (name, self.video_file(image, meta)) if image in self.info.video_keys else (name,)
                for one in files:
                    if not self.place.has(one):
                        raise Unmappable("file_unreadable", f"{one} is not there")
                table = reader.of(name, int(meta["episode_index"]))
                if meta.get("length") is not None and len(table) != int(meta["length"]):
                    raise Unmappable("frame_count", f"{len(table)} rows, the metadata say {meta['length']}")
            except Unmappable as error:
                yield Broken(files, position, error, own_digest(meta))
                continue
            except (KeyError, TypeError, ValueError) as error:
                reason = f"the metadata of {position} do not say where it lies: {error!r}"
                yield Broken(files, position, Unmappable("file_unreadable", reason), own_digest(meta))
                continue
            yield LeRobotRecord(self, meta, table, files, camera_stride=exported_stride(meta.get(SETTINGS)))
        if lost := max(self.info.total_episodes - described, 0):
            reason = f"{layout.INFO} counts {self.info.total_episodes} episodes, the metadata describe {described}"
            yield Broken((layout.INFO,), f"{lost} episodes", Unmappable("field_missing", reason))

    def data_file(self, meta: dict[str, Any]) -> str:
        number = int(meta["episode_index"])
        return self.info.data_file(number, *(int(meta.get(f"data/{one}_index") or 0) for one in ("chunk", "file")))

    def video_file(self, key: str, meta: dict[str, Any]) -> str:
        indices = (int(meta.get(f"videos/{key}/{one}_index") or 0) for one in ("chunk", "file"))
        return self.info.video_file(key, int(meta["episode_index"]), *indices)

    @cached_property
    def _has_initial_states(self) -> bool:
        first = next((one for one in self._metadata() if isinstance(one, dict)), {})
        return bool(first.get(INITIAL_STATE))

    def _metadata(self) -> Iterator[dict[str, Any] | Broken]:
        """A row an episode, in their order; raises `UserError` where not even the first file can be read."""
        if self.info.version == layout.V21:
            yield from _lines(self.place, layout.EPISODES_V21)
            return
        for name in self._metadata_files():
            try:
                file = pq.ParquetFile(self.place.root / name)
                wanted = [one for one in file.schema_arrow.names if not one.startswith("stats/")]
                for batch in file.iter_batches(ROWS, columns=wanted):
                    yield from batch.to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                if name == layout.EPISODES_V30.format(chunk_index=0, file_index=0):
                    raise UserError(f"{self.place.address}: {name} cannot be read: {error}") from error
                yield Broken((name,), "", Unmappable("file_unreadable", f"{name}: {error}"))

    def _metadata_files(self) -> Iterator[str]:
        chunk = file = 0
        while True:
            name = layout.EPISODES_V30.format(chunk_index=chunk, file_index=file)
            if self.place.has(name):
                yield name
                file += 1
            elif file and self.place.has(layout.EPISODES_V30.format(chunk_index=chunk + 1, file_index=0)):
                chunk, file = chunk + 1, 0
            elif chunk or file:
                return
            else:
                raise UserError(f"{self.place.address} is no whole LeRobot dataset: it has no {name}")


class _Rows:
    """The rows of episode after episode; a file of many episodes is read once, in their order.

    A row group that cannot be read costs the episodes in it alone.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._name: str | None = None
        self._runs: Iterator[tuple[Any, pa.Table]] = iter(())
        self._ahead: tuple[Any, pa.Table] | None = None
        self._damage: Exception | None = None

    def of(self, name: str, episode: int) -> pa.Table:
        try:
            if name != self._name:
                file = pq.ParquetFile(self._archive.place.root / name)
                self._name, self._ahead, self._damage = name, None, None
                self._runs = runs(self._batches(file), "episode_index")
            while (found := self._ahead or next(self._runs, None)) is not None and found[0] < episode:
                self._ahead = None
        except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
            raise Unmappable("file_unreadable", f"{name}: {error}") from error
        self._ahead = found
        if found is None or found[0] != episode:
            if self._damage is not None:
                raise Unmappable("file_unreadable", f"{name}: {self._damage}")
            raise Unmappable("field_missing", f"{name} has no rows of episode {episode} after those before it")
        return found[1]

    def _batches(self, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        for group in range(file.num_row_groups):
            try:
                yield from file.iter_batches(ROWS, row_groups=[group])
            except (pa.ArrowInvalid, OSError) as error:
                self._damage = error


def open_archive(path: str, suite: str) -> Archive:
    found = place(path, layout.INFO)
    return Archive(found, layout.read_info(found.root))


def _lines(found: Place, name: str) -> Iterator[dict[str, Any] | Broken]:
    if not found.has(name):
        raise UserError(f"{found.address} is no whole LeRobot dataset: it has no {name}")
    with (found.root / name).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
                if not isinstance(content, dict):
                    raise ValueError("it is no object")
            except ValueError as error:
                reason = f"{name}, line {number}, does not describe an episode: {error}"
                yield Broken((name,), f"line {number}", Unmappable("file_unreadable", reason))
                continue
            yield content

"""RLDS as Open X-Embodiment uses it: TFRecord files with one episode a record, and the features in features.json.

Fields have the names that the records use, as `steps/observation/image`; those below `steps` have one value a
step. A step holds the observation, the action taken, and the reward of that action; the last step's action leads
nowhere. Source: google-research/rlds, "RLDS dataset format", and TensorFlow Datasets' `features.json`.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldvla.episodes.images import decode_image
from worldvla.errors import UserError
from worldvla.exchange.importing import tfrecord
from worldvla.exchange.importing.record import Broken, Field, Unmappable

FEATURES = "features.json"
INFO = "dataset_info.json"
SHARD = re.compile(r"(?P<stem>.*?(?P<split>[^-]+)\.tfrecord)-(?P<index>\d+)-of-(?P<total>\d+)")
STEPS = "steps/"
INSTRUCTIONS = (
    "steps/language_instruction",
    "steps/observation/natural_language_instruction",
    "episode_metadata/language_instruction",
)
PROPRIO = ("steps/observation/state", "steps/observation/proprio")
TEXT = "text"


@dataclass(frozen=True)
class RldsRecord:
    """One episode: the values of its features, parsed when one of them is asked for."""

    data: bytes
    known: dict[str, Field]
    files: tuple[str, ...]
    position: str
    number: int
    task: str | None = None
    instruction: str | None = None
    own: str | None = None
    shared: tuple[str, ...] = ()
    camera_stride: int = 1

    def rows(self, name: str) -> np.ndarray:
        values, field = self._values(name), self.known[name]
        if field.dtype == TEXT:
            return np.array(values, dtype=object)
        size = math.prod(field.shape)
        if size == 0 or len(values) % size or (field.per_episode and len(values) != size):
            raise Unmappable("shape_mismatch", f"{name} has {len(values)} values, no multiple of {list(field.shape)}")
        kind = "float64" if field.dtype.startswith(("float", "bfloat")) else "int64"
        try:
            array = np.array(values, dtype=kind)
        except ValueError as error:
            raise Unmappable("shape_mismatch", f"{name} holds no numbers of {field.dtype}: {error}") from error
        return array.reshape(field.shape) if field.per_episode else array.reshape(-1, *field.shape)

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        for data in self._values(name):
            try:
                yield decode_image(data)
            except (OSError, TypeError):
                yield None

    @cached_property
    def _parsed(self) -> dict[str, list]:
        return tfrecord.features(self.data)

    def _values(self, name: str) -> list:
        if name not in self._parsed:
            raise Unmappable("field_missing", f"the record has no feature {name}")
        return self._parsed[name]


@dataclass(frozen=True)
class Archive:
    """The TFRecord files beside a features.json."""

    root: Path
    known: dict[str, Field]
    names: tuple[str, ...]

    @property
    def address(self) -> str:
        return str(self.root)

    def fields(self) -> dict[str, Field]:
        return self.known

    def defaults(self) -> dict[str, str]:
        pictures = [name for name, one in self.known.items() if len(one.shape) == 3 and one.dtype == "uint8"]
        action = self.known.get("steps/action")
        entries = {
            "image": next((one for one in pictures if one.endswith("/image")), pictures[0] if pictures else None),
            "proprio": next((one for one in PROPRIO if one in self.known), None),
            "actions": "steps/action" if action and action.shape == (7,) else None,
            "instruction": next((one for one in INSTRUCTIONS if one in self.known), None),
        }
        return {key: value for key, value in entries.items() if value}

    def notes(self) -> dict[str, str]:
        return {}

    def count(self) -> int | None:
        return sum(map(sum, self._lengths.values())) if self._lengths else None

    def records(self, image: str) -> Iterator[RldsRecord | Broken]:
        number = 0
        for name in self.names:
            here = 0
            for index, data in enumerate(tfrecord.records(self.root / name)):
                here += 1
                position = f"record {index}"
                if isinstance(data, Unmappable):
                    yield Broken((name,), position, data)
                else:
                    yield RldsRecord(data, self.known, (name,), position, number)
                number += 1
            if (declared := self._declared(name)) is not None and here < declared:
                reason = f"{name} has {here} records, {INFO} counts {declared}"
                yield Broken((name,), f"{declared - here} records", Unmappable("file_unreadable", reason))
        yield from self._lost()

    def _lost(self) -> Iterator[Broken]:
        """The shards that the names of the others speak of, and that are not there; said once a split."""
        found: dict[tuple[str, int], set[int]] = {}
        for one in filter(None, map(SHARD.fullmatch, self.names)):
            found.setdefault((one["stem"], int(one["total"])), set()).add(int(one["index"]))
        for (stem, total), indices in found.items():
            if lost := sorted(set(range(total)) - indices):
                some = ", ".join(map(str, lost[:5])) + (", …" if len(lost) > 5 else "")
                reason = f"of {total} files {stem} {len(lost)} are not there, number {some}"
                yield Broken((stem,), f"{len(lost)} files", Unmappable("file_unreadable", reason))

    def _declared(self, name: str) -> int | None:
        """The records of a shard, where that is known."""
        found = SHARD.fullmatch(name)
        lengths = self._lengths.get(found["split"], []) if found else []
        return lengths[int(found["index"])] if found and len(lengths) == int(found["total"]) else None

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """The records of each shard by split; empty where nothing says so."""
        try:
            info = json.loads((self.root / INFO).read_text())
            return {str(one["name"]): [int(length) for length in one["shardLengths"]] for one in info["splits"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def open_archive(path: str, suite: str) -> Archive:
    root = _root(Path(path))
    names = sorted(one.name for one in root.iterdir() if ".tfrecord" in one.name and one.is_file())
    if not names:
        raise UserError(f"{root} has no TFRecord files (NAME-SPLIT.tfrecord-00000-of-00001)")
    try:
        content = json.loads((root / FEATURES).read_text())
        known = dict(_flattened(content, ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{root / FEATURES} does not describe features as TensorFlow Datasets does: {error}") from error
    return Archive(root, known, tuple(names))


def _root(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"{path} is no folder")
    found = sorted(one.parent for one in path.rglob(FEATURES))
    if not found:
        raise UserError(f"{path} is no RLDS dataset: it has no {FEATURES}, which says what the records hold")
    if len(found) > 1:
        raise UserError(f"{path} has several datasets, name one: {', '.join(map(str, found[:6]))}")
    return found[0]


def _flattened(node: dict[str, Any], name: str) -> Iterator[tuple[str, Field]]:
    """Every feature below a node by its path; a kind that the records do not store plainly is left out."""
    per_episode = not name.startswith(STEPS)
    if "featuresDict" in node:
        for key, child in node["featuresDict"]["features"].items():
            yield from _flattened(child, f"{name}/{key}" if name else key)
    elif "sequence" in node:
        yield from _flattened(node["sequence"]["feature"], name)
    elif "image" in node:
        yield name, Field(_shape(node["image"]), "uint8", per_episode)
    elif "text" in node:
        yield name, Field((), TEXT, per_episode)
    elif "tensor" in node or "scalar" in node:
        one = node.get("tensor") or node["scalar"]
        if one.get("encoding", "none") == "none":
            yield name, Field(_shape(one), TEXT if one["dtype"] == "string" else one["dtype"], per_episode)


def _shape(node: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in node.get("shape", {}).get("dimensions", ()))

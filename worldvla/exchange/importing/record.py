"""What every format gives: records that are read one at a time, and the reasons why one is no episode.

A record is one attempt at a task as somebody else stored it. Its fields have names of the
format's own; nothing here knows what they mean.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from worldvla.episodes.episode import camera_stride


class Unmappable(Exception):
    """A record that cannot become an episode: one of `worldvla.quality.rules.UNMAPPABLE`, and the reason in words."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


@dataclass(frozen=True)
class Field:
    """What a field holds a step: `shape` without the steps; pictures: [H, W, 3]. `per_episode`: one for all steps."""

    shape: tuple[int, ...]
    dtype: str
    per_episode: bool = False

    def __str__(self) -> str:
        sizes = " x ".join(map(str, self.shape))
        return f"{self.dtype}{f' [{sizes}]' if self.shape else ''}{' an episode' if self.per_episode else ''}"


class Record(Protocol):
    """One attempt. `files` are what it is read from, relative to the archive; people are told the first one.

    `position` says where in the file; `number` counts the records of the archive; `task` and `instruction` are what
    the format knows of them. Those of `files` that are `shared` with other records, and grow, need not be the same for
    the record to be: `own` is a digest of what it has in them, or in metadata that are not among `files`. Of what this
    project exported, a picture of every `camera_stride`-th state alone was drawn, and the others repeat it.
    """

    files: tuple[str, ...]
    position: str
    number: int
    own: str | None
    shared: tuple[str, ...]
    task: str | None
    instruction: str | None
    camera_stride: int

    def rows(self, name: str) -> np.ndarray:
        """A field: [N, …], or without steps what holds for the whole episode. Raises `Unmappable`."""
        ...

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        """The pictures of a field one at a time, uint8 [H, W, 3]; None for one that cannot be decoded. Raises
        `Unmappable`."""
        ...


@dataclass(frozen=True)
class Broken:
    """A file, or a place in one, at which no record can be read."""

    files: tuple[str, ...]
    position: str
    error: Unmappable
    own: str | None = None
    shared: tuple[str, ...] = ()


class Archive(Protocol):
    """A dataset of one format. `defaults` are mapping entries that follow from the format and from what it declares;
    `address` is what the lake keeps of where it was."""

    @property
    def root(self) -> Path: ...

    @property
    def address(self) -> str: ...

    def fields(self) -> dict[str, Field]:
        """The fields of the first record that can be read. Raises `UserError` where there is none."""
        ...

    def defaults(self) -> dict[str, str]: ...

    def notes(self) -> dict[str, str]:
        """What a person should know besides the mapping, by what it is about."""
        ...

    def count(self) -> int | None:
        """How many records there are, where that is known without reading them."""
        ...

    def records(self, image: str) -> Iterator[Record | Broken]:
        """In an order that is always the same; a record may be read until the next one is asked for.

        Of its pictures those of field `image` alone will be asked for: other cameras' files need not be there.
        """
        ...


def exported_stride(settings: str | None) -> int:
    """The camera stride of an episode that this project exported, by the settings in its provenance; otherwise 1."""
    try:
        content = json.loads(settings or "{}")
    except ValueError:
        return 1
    return camera_stride(content) if isinstance(content, dict) else 1


def own_digest(values: Mapping[str, Any]) -> str:
    """64 hex digits that name what a record has in a table that others share; unlike the lake's, also of dates."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class Digests:
    """SHA-256 of an archive's files, each read once."""

    root: Path
    known: dict[str, str] = field(default_factory=dict)

    def of(self, files: tuple[str, ...]) -> dict[str, str]:
        """File → 64 hex digits; "" for a file that cannot be read."""
        for name in files:
            if name not in self.known:
                self.known[name] = _sha256(self.root / name)
        return {name: self.known[name] for name in files}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

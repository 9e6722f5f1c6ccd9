"""What the HDF5 formats share: finding files, opening them, and reading a group's datasets as fields.

A damaged file fails in one of two ways: a truncated one at opening, one that was overwritten inside when
the damaged place is read. The first costs the file, the second the record alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldvla.errors import UserError
from worldvla.exchange.importing.record import Field, Unmappable

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")
PICTURE_CHANNELS = 3
# HDF5 keeps the headers of what was read and lets that grow to 32 MiB, several times as much in the allocator.
METADATA_CACHE = 2**20
# What h5py raises when it comes upon damaged bytes, depending on what they stood for.
DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError)
SEVERAL = 8  # attempts that together say which fields a dataset has


@dataclass(frozen=True)
class GroupRecord:
    """One attempt: a group whose datasets have one row a step, or a state."""

    group: "h5py.Group"
    files: tuple[str, ...]
    position: str
    number: int
    task: str | None = None
    instruction: str | None = None
    own: str | None = None
    shared: tuple[str, ...] = ()
    camera_stride: int = 1

    def rows(self, name: str) -> np.ndarray:
        return read(self.group, name)

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        dataset = _dataset(self.group, name)
        if not dataset.shape:
            raise Unmappable("shape_mismatch", f"{name} is one value, and no pictures")
        for step in range(len(dataset)):
            yield _guarded(partial(dataset.__getitem__, step), name)


def files_of(path: Path) -> tuple[Path, list[str]]:
    """The folder, and the HDF5 files in it, sorted; or the folder of the one file and its name."""
    if path.is_file():
        return path.parent, [path.name]
    if not path.is_dir():
        raise UserError(f"{path} does not exist")
    found = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
    if not found:
        raise UserError(f"{path} has no file that ends in {' or '.join(SUFFIXES)}")
    return path, found


def opened(path: Path) -> "h5py.File":
    """Raises `Unmappable` on what is no whole HDF5 file."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise Unmappable("file_unreadable", f"{path.name}: {error}") from error
    cache = file.id.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = cache.max_size = METADATA_CACHE
    file.id.set_mdc_config(cache)
    return file


def read(group: "h5py.Group", name: str) -> np.ndarray:
    """A dataset whole, texts as bytes; raises `Unmappable`."""
    dataset = _dataset(group, name)
    return np.asarray(_guarded(lambda: dataset[()], name))


def names_in(group: "h5py.Group") -> list[str]:
    """What the group holds, `demo_2` before `demo_10`; raises `Unmappable`."""
    return numbered([text(name) or "" for name in _guarded(lambda: list(group), group.name)])


def holds(group: "h5py.Group", name: str) -> bool:
    """Raises `Unmappable` where that cannot be read."""
    return _guarded(lambda: name in group, name)


def group_in(group: "h5py.Group", name: str) -> "h5py.Group":
    """Raises `Unmappable` where it is not there, cannot be read, or is no group."""
    import h5py

    item = _guarded(lambda: group.get(name), name)
    if not isinstance(item, h5py.Group):
        raise Unmappable("field_missing", f"{Path(group.file.filename).name} has no group {name}")
    return item


def fields_of_first(root: Path, names: Iterable[str], place: str = "") -> dict[str, Field]:
    """The fields of the first attempts that can be read, together: one that lost a field does not decide for all.

    Attempts are the groups in each file, or in its group `place`. Raises `UserError` where none can be read.
    """
    found: dict[str, Field] = {}
    reasons: list[str] = []
    count = 0
    for name in names:
        try:
            with opened(root / name) as file:
                within = group_in(file, place) if place else file
                for attempt in names_in(within):
                    try:
                        found = fields_of(group_in(within, attempt)) | found
                    except Unmappable as error:
                        reasons.append(error.reason)
                        continue
                    count += 1
                    if count == SEVERAL:
                        return found
        except Unmappable as error:
            reasons.append(error.reason)
    if not count:
        where = f"{place}/" if place else ""
        raise UserError(f"{root}: no attempt ({where}…_N) can be read: {'; '.join(reasons[:3]) or 'none is there'}")
    return found


def fields_of(group: "h5py.Group") -> dict[str, Field]:
    """Every dataset below the group, by its path; raises `Unmappable`."""
    import h5py

    found: dict[str, Field] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = Field(tuple(item.shape[1:]), str(item.dtype), not item.shape)

    _guarded(lambda: group.visititems(visit), group.name)
    return found


def picture_fields(fields: dict[str, Field]) -> list[str]:
    """Fields of colours: a camera's positions and normals have three channels, too, and other numbers."""
    return [
        name
        for name, one in fields.items()
        if len(one.shape) == 3 and one.shape[2] == PICTURE_CHANNELS and one.dtype == "uint8"
    ]


def numbered(names: list[str]) -> list[str]:
    """`demo_2` before `demo_10`."""

    def key(name: str) -> tuple[str, int, str]:
        stem, _, tail = name.rpartition("_")
        return (stem, int(tail), name) if tail.isdecimal() else (name, -1, name)

    return sorted(names, key=key)


def text(value: object) -> str | None:
    """An attribute as text, however it was written."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if value is not None else None


def _dataset(group: "h5py.Group", name: str) -> "h5py.Dataset":
    import h5py

    item = _guarded(lambda: group.get(name), f"{group.name}/{name}")
    if not isinstance(item, h5py.Dataset):
        raise Unmappable("field_missing", f"{group.name} has no dataset {name}")
    return item


def _guarded(get: Callable[[], Any], name: str) -> Any:
    try:
        return get()
    except DAMAGE as error:
        raise Unmappable("file_unreadable", f"{name}: {error}") from error

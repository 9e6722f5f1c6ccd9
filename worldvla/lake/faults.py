"""What a storage error means to a person: which file system is full, which file of which table is damaged.

Lance says neither the table nor the file of a short read or of bytes that changed, and a full disk is one sentence
inside another. Here its errors become `UserError`; what is neither is passed on as it came.
"""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from worldvla.errors import UserError
from worldvla.lake.tables import DERIVED

# As Rust writes errno into Lance's messages: ENOSPC, EDQUOT, EFBIG.
FULL = ("os error 28", "os error 122", "os error 27", "No space left on device")

# The same of EPERM, EACCES, ENOTDIR and EROFS; EEXIST is what making a folder says of a file in its place.
REFUSED = ("os error 1)", "os error 13", "os error 20", "os error 30")

# In the ValueErrors that Lance makes of a damaged table; the second of one that has lost its versions.
DAMAGED = ("LanceError", "was not found")

# What is wrong with a file of the right size that does not decode.
CHANGED = "has as many bytes as were written, and not those: it cannot be decoded"
# Rows decoded at once to see whether they can be: bounds the pictures or latents in memory.
DECODED_AT_ONCE = 256

# With more bytes than this free, it is not the file system that refused.
PLENTY = 2**30


@contextmanager
def explained(path: Path | str, table: str) -> Iterator[None]:
    """Raises `UserError` in place of Lance's error when the disk is full, the folder refuses, or a file of the table is
    damaged.

    Of a table on an object store, whose `path` is an address, errors are passed on.
    """
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(path, str):
            raise
        if is_full(error):
            raise UserError(full_disk(path, table)) from error
        if is_refused(error):
            raise UserError(f"table {table}: {refused(path)}") from error
        if isinstance(error, OSError | pa.ArrowException) or any(sign in str(error) for sign in DAMAGED):
            if damaged := damaged_files(path):
                raise UserError(damaged_table(table, path, damaged)) from error
        raise


def is_full(error: BaseException) -> bool:
    """Whether the file system had no room, or the user no quota, for what was written."""
    return any(sign in str(error) for sign in FULL) or getattr(error, "errno", None) in (27, 28, 122)


def is_refused(error: BaseException) -> bool:
    """Whether the file system did not let this user read or write there."""
    return any(sign in str(error) for sign in REFUSED) or getattr(error, "errno", None) in (1, 13, 17, 20, 30)


def refused(path: Path | str) -> str:
    """What to do where a file or folder cannot be read or written."""
    return (
        f"{path} cannot be read or written by this user, lies on a read-only file system, or is a file where a folder "
        "belongs: give the right, or name another folder (WORLDVLA_HOME, WORLDVLA_LAKE)"
    )


def in_words(error: UserError | OSError) -> str | None:
    """What a person is told of an error that a person can mend; None of any other."""
    if isinstance(error, UserError):
        return str(error)
    if is_full(error):
        return f"no room left: {error}. `worldvla retain` says what can go; then give the same command again"
    return refused(error.filename) if is_refused(error) and error.filename else None


def full_disk(path: Path, table: str) -> str:
    """The file system that holds the table, what is free on it, and what to do."""
    mount = _mount_point(path)
    free = shutil.disk_usage(mount).free
    cause = (
        f"is full ({free / 2**20:.1f} MiB free)" if free < PLENTY else "takes no more: a quota or a limit is reached"
    )
    return (
        f"no room to write table {table}: the file system {mount} {cause}. The table is as it was. Free some space "
        "(`worldvla retain` says what can go, `worldvla doctor --repair` removes what killed writers left), "
        "raise the quota, or move the home (WORLDVLA_HOME) to a larger file system; then give the same command again"
    )


@dataclass(frozen=True)
class Damage:
    """A file of a table and what is wrong with it. `fragment` is the Lance fragment whose rows it holds, if any."""

    file: str
    problem: str
    fragment: int | None = None

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


def damaged_table(table: str, path: Path | str, damaged: list[Damage]) -> str:
    """The damaged files, and what to do."""
    more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
    counted = "" if table in DERIVED else " (`worldvla doctor --deep` counts the rows that lie in it)"
    return f"table {table} cannot be read: {'; '.join(map(str, damaged[:3]))}{more}{counted}. {remedy(table, path)}"


def remedy(table: str, path: Path | str) -> str:
    """What to do about damaged files of a table in this folder."""
    if table in DERIVED:
        return f"Remove the folder {path}: it holds only what trainings encode again"
    return (
        "Put the file back from a backup, without which its rows are lost; or the whole folder "
        f"{path} from an older backup: `worldvla doctor` then names what needs rows written since, and how to mend it"
    )


def damaged_files(path: Path | str, columns: Collection[str] | None = None, version: int | None = None) -> list[Damage]:
    """Files of a table's version, the newest by default, that are missing, of another size than committed, or do not
    give these columns, all by default; empty when whole.

    Bytes that changed and still decode are found by no reading, only by the digests of content.
    """
    try:
        dataset = lance.dataset(path, version=version)
    except (OSError, ValueError):
        if isinstance(path, str):
            raise
        return _unreadable_manifests(path)
    found = _misfits(dataset) or _undecodable(dataset, columns)
    return [replace(one, file=f"{path}/{one.file}") for one in found]


def _misfits(dataset: lance.LanceDataset) -> list[Damage]:
    """Files of an opened version that are missing or of another size than committed, named from the table's folder."""
    there = file_sizes(dataset)
    found = []
    for fragment in dataset.get_fragments():
        for file in fragment.data_files():
            name = f"data/{file.path}"
            if name not in there:
                found.append(Damage(name, "is missing", fragment.fragment_id))
            elif file.file_size_bytes and there[name] != file.file_size_bytes:
                problem = f"has {there[name]} bytes, {file.file_size_bytes} were written"
                found.append(Damage(name, problem, fragment.fragment_id))
        if (name := _deletion_file(fragment)) is not None and name not in there:
            found.append(Damage(name, "is missing", fragment.fragment_id))
    return found


def _undecodable(dataset: lance.LanceDataset, columns: Collection[str] | None) -> list[Damage]:
    """Files of an opened version that cannot be decoded, named from the table's folder; of a fragment whose deletions
    cannot, that file alone."""
    there = [name for name in dataset.schema.names if columns is None or name in columns]
    fragments = dataset.get_fragments()
    if _decodes(dataset, fragments, there):
        return []
    found = []
    for fragment in fragments:
        deletions = _deletion_file(fragment)
        if deletions is not None and not _decodes(dataset, [fragment], []):
            found.append(Damage(deletions, CHANGED, fragment.fragment_id))
            continue
        for file in fragment.data_files():
            stored = [field.name() for field in dataset.lance_schema.fields() if _ids(field) & set(file.fields)]
            if not _decodes(dataset, [fragment], [name for name in stored if name in there]):
                found.append(Damage(f"data/{file.path}", CHANGED, fragment.fragment_id))
    return found


def _decodes(dataset: lance.LanceDataset, fragments: list[lance.LanceFragment], columns: list[str]) -> bool:
    """Whether these columns of the fragments can be read, some rows at a time, texts as UTF-8 included."""
    scanner = dataset.scanner(
        columns=columns, fragments=fragments, with_row_id=True, batch_size=DECODED_AT_ONCE, batch_readahead=2
    )
    try:
        for batch in scanner.to_batches():
            batch.validate(full=True)
    except (OSError, ValueError, pa.ArrowException):
        return False
    return True


def _ids(field: Any) -> set[int]:
    """The ids of a column and of what is nested in it: a data file names those that it stores."""
    return {field.id()}.union(*map(_ids, field.children()))


def _deletion_file(fragment: lance.LanceFragment) -> str | None:
    deletion = fragment.metadata.deletion_file
    return None if deletion is None else deletion.path(fragment.fragment_id)


def file_sizes(dataset: lance.LanceDataset) -> dict[str, int]:
    """Every file in the table's folder, named from there, with its bytes."""
    files = dataset.all_files().read_all()
    return dict(zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True))


def _unreadable_manifests(path: Path) -> list[Damage]:
    """The newest manifest when it cannot be read, with the newest one that can."""
    manifests = sorted((path / "_versions").glob("*.manifest"))
    numbers = sorted((_version(file) for file in manifests), reverse=True)
    for number in numbers[1:]:
        try:
            lance.dataset(path, version=number)
        except (OSError, ValueError):
            continue
        return [Damage(str(manifests[0]), f"is damaged (the newest version that can be read is {number})")]
    if not path.exists():
        return []
    return [Damage(str(manifests[0]), "is damaged") if manifests else Damage(str(path), "holds no version")]


def _version(manifest: Path) -> int:
    """Lance names manifests so that the newest sorts first."""
    return 2**64 - 1 - int(manifest.stem)


def _mount_point(path: Path) -> Path:
    path = path.resolve()
    while not path.exists():
        path = path.parent
    device = os.stat(path).st_dev
    while path != path.parent and os.stat(path.parent).st_dev == device:
        path = path.parent
    return path

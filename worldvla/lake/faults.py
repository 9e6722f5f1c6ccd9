"""What a storage error means to a person: which file system is full, which file of which table is damaged.

Lance says neither the table nor the file of a short read, and a full disk is one sentence
inside another. Here its errors become `UserError`; what is neither is passed on as it came.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lance
import pyarrow as pa

from worldvla.errors import UserError

# As Rust writes errno into Lance's messages: ENOSPC, EDQUOT, EFBIG.
FULL = ("os error 28", "os error 122", "os error 27", "No space left on device")

# The same of EPERM, EACCES, ENOTDIR and EROFS; EEXIST is what making a folder says of a file in its place.
REFUSED = ("os error 1)", "os error 13", "os error 20", "os error 30")

# In the ValueErrors that Lance makes of a damaged table; the second of one that has lost its versions.
DAMAGED = ("LanceError", "was not found")

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
                raise UserError(damaged_table(table, damaged)) from error
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


def damaged_table(table: str, damaged: list[str]) -> str:
    """The damaged files, and what to do."""
    more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
    return (
        f"table {table} cannot be read: {'; '.join(damaged[:3])}{more}. Put the file back from a backup, or run "
        "`worldvla doctor` to see what is lost with it"
    )


def damaged_files(path: Path) -> list[str]:
    """Files of the table's newest version that are missing or of another size than committed; empty when whole."""
    try:
        dataset = lance.dataset(path)
    except (OSError, ValueError):
        return _unreadable_manifests(path)
    return [f"{path}/{one}" for one in misfits(dataset)]


def misfits(dataset: lance.LanceDataset) -> list[str]:
    """Files of an opened version that are missing or of another size than committed: its name, then what is wrong."""
    there = file_sizes(dataset)
    found = []
    for fragment in dataset.get_fragments():
        for file in fragment.data_files():
            name = f"data/{file.path}"
            if name not in there:
                found.append(f"{name} is missing")
            elif file.file_size_bytes and there[name] != file.file_size_bytes:
                found.append(f"{name} has {there[name]} bytes, {file.file_size_bytes} were written")
        deletion = fragment.metadata.deletion_file
        if deletion is not None and (name := deletion.path(fragment.fragment_id)) not in there:
            found.append(f"{name} is missing")
    return found


def file_sizes(dataset: lance.LanceDataset) -> dict[str, int]:
    """Every file in the table's folder, named from there, with its bytes."""
    files = dataset.all_files().read_all()
    return dict(zip(files["path"].to_pylist(), files["size_bytes"].to_pylist(), strict=True))


def _unreadable_manifests(path: Path) -> list[str]:
    """The newest manifest when it cannot be read, with the newest one that can."""
    manifests = sorted((path / "_versions").glob("*.manifest"))
    numbers = sorted((_version(file) for file in manifests), reverse=True)
    for number in numbers[1:]:
        try:
            lance.dataset(path, version=number)
        except (OSError, ValueError):
            continue
        return [f"{manifests[0]} is damaged (the newest version that can be read is {number})"]
    if not path.exists():
        return []
    return [f"{manifests[0]} is damaged"] if manifests else [f"{path} holds no version"]


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

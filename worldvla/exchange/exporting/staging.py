"""A folder that appears whole or not at all: it is written beside its place and renamed into it.

A writer that dies leaves the folder beside, which the next one empties. A lock that the operating
system releases with its holder keeps two from writing at once.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldvla.errors import UserError
from worldvla.lake.faults import is_full


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `target` when the block ends without an exception, else is removed.

    Raises `UserError` where `target` is there already and not an empty folder, where another process
    writes it now, or where there is no room.
    """
    refuse_existing(target)
    beside = target.parent / f".{target.name}.partial"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        lock = os.open(beside, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--to {target}: cannot be written: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--to {target}: another export is writing it now") from None
        _empty(beside)
        try:
            yield beside
            refuse_existing(target)
            _flush(beside)
            os.rename(beside, target)
            _flush_one(target.parent)
        except BaseException as error:
            shutil.rmtree(beside, ignore_errors=True)
            if isinstance(error, Exception) and is_full(error):
                free = shutil.disk_usage(target.parent).free / 2**20
                raise UserError(f"--to {target}: the file system is full ({free:.0f} MiB free)") from error
            raise
    finally:
        os.close(lock)


def refuse_existing(target: Path) -> None:
    """Nothing is ever overwritten: raises `UserError` where something is there."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"--to {target}: a file is there already; name a folder that does not exist yet")
    if target.exists() and any(target.iterdir()):
        raise UserError(f"--to {target}: the folder is not empty, and nothing is overwritten; name another one")


def _flush(folder: Path) -> None:
    """What a machine that loses power keeps: without, the name may last and the files behind it be empty."""
    for path in folder.rglob("*"):
        _flush_one(path)
    _flush_one(folder)


def _flush_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()

"""A folder that appears whole or not at all: it is written beside its place and renamed into it.

A writer that is killed leaves the folder beside, which the next one empties. A lock that the operating
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

    Raises `UserError` where `target` is there already and not an empty folder whose place can be taken, where another
    process writes it now, or where there is no room.
    """
    refuse_existing(target)
    beside = target.parent / f".{target.name}.partial"
    lock = _locked(target, beside)
    try:
        refuse_existing(target)  # the other process may have finished it
        _empty(beside)
        try:
            yield beside
            refuse_existing(target)
            if target.exists():
                shutil.copymode(target, beside)
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
    """Nothing is ever overwritten: raises `UserError` where something is there that an empty folder is not."""
    try:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise UserError(f"--to {target}: a file is there already; name a folder that does not exist yet")
        if not target.exists():
            return
        if any(target.iterdir()):
            raise UserError(f"--to {target}: the folder is not empty, and nothing is overwritten; name another one")
        if target.is_mount() or target.samefile(os.curdir):
            is_in_use = "a file system is mounted there" if target.is_mount() else "this command runs in it"
            raise UserError(f"--to {target}: {is_in_use}, so no other folder can take its place; name one inside")
    except OSError as error:
        raise _unwritable(target, error) from error


def _locked(target: Path, beside: Path) -> int:
    """A handle of the folder beside, made where there is none, that locks it."""
    while True:
        try:
            beside.mkdir(parents=True, exist_ok=True)
            lock = os.open(beside, os.O_RDONLY)
        except OSError as error:
            raise _unwritable(target, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have renamed or removed what was opened.
            if beside.exists() and os.path.samestat(os.fstat(lock), beside.stat()):
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError:
            os.close(lock)
            raise UserError(f"--to {target}: another export is writing it now") from None
        os.close(lock)


def _unwritable(target: Path, error: OSError) -> UserError:
    return UserError(f"--to {target}: cannot be written: {error.strerror or error}")


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

"""Locks between processes: one loop of a campaign at a time, and nobody at work while the lake is looked after.

The kernel lets go of a lock when every process that has its file descriptor has ended, however they ended. Other
machines do not see them.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from worldvla.errors import UserError
from worldvla.home import home, lake_root

# A killed holder's run ends a moment after it.
PATIENCE_SECONDS = 5.0


@contextmanager
def campaign_lock(campaign: str, doing: str = "") -> Iterator[int]:
    """Holds the campaign and gives the lock's file descriptor. Others are told the process, and what it is `doing`
    where that is not to run the campaign.

    Raises `UserError` naming the process that holds the campaign.
    """
    with _opened(_of_campaign(campaign)) as file:
        if not _acquired(file):
            file.seek(0)
            raise UserError(
                f"campaign {campaign} {_held(file)}; wait for it, or stop it and start again: nothing is lost"
            )
        with suppress(OSError):  # a full disk takes no number, and is no reason not to make room
            file.truncate(0)
            os.write(file.fileno(), f"{os.getpid()} {doing}".strip().encode())
        yield file.fileno()


def held_by(campaign: str) -> str | None:
    """Which process holds the campaign, in words, if one does; takes nothing away from it."""
    try:
        file = _of_campaign(campaign).open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _held(file)
    return None


@contextmanager
def at_work() -> Iterator[None]:
    """Keeps the lake from being looked after meanwhile; waits while it is, and says so. Any number are at work
    together."""
    with _opened(_of_lake()) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"the lake {lake_root()} is being looked after; waiting for that to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def nobody_at_work() -> Iterator[None]:
    """Keeps others from their work meanwhile; raises `UserError` where someone is at work."""
    with _opened(_of_lake()) as file:
        if not _acquired(file):
            raise UserError(
                f"the lake {lake_root()} is being written to, by a run of the Dagster server or by an import: wait "
                "for it (`worldvla status` says what is under way), or end it: nothing is lost"
            )
        yield


def _held(file: IO[str]) -> str:
    process, _, doing = (file.read().strip() or "?").partition(" ")
    return f"is held by process {process}, {doing}" if doing else f"is being run by process {process}"


def _of_campaign(campaign: str) -> Path:
    return home() / "locks" / f"{campaign}.lock"


def _of_lake() -> Path:
    root = lake_root()
    return root / ".at-work.lock" if isinstance(root, Path) else home() / "locks" / ".lake.lock"


def _opened(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")


def _acquired(file: IO[str]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

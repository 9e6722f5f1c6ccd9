"""One loop of a campaign at a time: the second is refused and told who holds the campaign."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from worldvla.errors import UserError
from worldvla.home import home

# A killed holder's run ends a moment after it.
PATIENCE_SECONDS = 5.0


@contextmanager
def campaign_lock(campaign: str) -> Iterator[int]:
    """Holds the campaign and gives the lock's file descriptor.

    The kernel lets go of it when every process that has the descriptor has ended, however
    they ended. Raises `UserError` naming the process that holds the campaign.
    """
    path = _path(campaign)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not _acquired(file):
            file.seek(0)
            raise UserError(
                f"campaign {campaign} is being run by process {file.read().strip() or '?'}; "
                "wait for it, or stop it and start again: nothing is lost"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _path(campaign: str) -> Path:
    return home() / "locks" / f"{campaign}.lock"


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


def held_by(campaign: str) -> str | None:
    """The process that holds the campaign, if one does; takes nothing away from it."""
    try:
        file = _path(campaign).open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "?"
    return None

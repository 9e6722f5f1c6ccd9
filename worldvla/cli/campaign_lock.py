"""One loop of a campaign at a time: the second is refused and told who holds the campaign."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from worldvla.errors import UserError
from worldvla.home import home


@contextmanager
def campaign_lock(campaign: str) -> Iterator[None]:
    """Holds the campaign; the kernel lets go of it when the process ends, however it ends."""
    path = home() / "locks" / f"{campaign}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"campaign {campaign} is being run by process {file.read().strip() or '?'}; "
                "wait for it, or stop it and start again: nothing is lost"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

"""Files that a simulator draws from and that are made on this machine, once."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from worldvla.home import home


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder `name` in the cache of the project's home, filled by whoever comes first.

    `fill` writes into the empty folder that it is given; killed on the way, it leaves nothing under the name.
    """
    folder = home() / "cache" / name
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        draft = Path(place) / name
        draft.mkdir()
        fill(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    return folder

"""Files that a simulator draws from and that are made on this machine, once."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from worldvla.home import home


def digest(files: Iterable[Path], settings: str) -> str:
    """16 hexadecimal digits that name these files' names and bytes, whatever their order, and the settings."""
    found = hashlib.sha256(settings.encode())
    for path in sorted(files):
        found.update(f"{path.name} {path.stat().st_size} ".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


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

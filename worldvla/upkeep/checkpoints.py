"""Checkpoints of trainings that were given up: their settings, code or data changed before they ended.

A training that ends removes its own. One that nobody goes on with keeps them, for the same command would go on:
only time tells, so they go with what is older than what `worldvla retain` keeps.
"""

import shutil
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True)
class TrainingFiles:
    """The checkpoints of one training, or the clock of one computation."""

    path: Path
    size: int
    given_up: bool


def look(home: Path, keep: timedelta) -> list[TrainingFiles]:
    """All of them, by name; given up is what nothing was written to for longer than `keep`."""
    since = time.time() - keep.total_seconds()
    found = []
    for path in sorted((home / "checkpoints").glob("*")):
        files = [path, *path.glob("*")] if path.is_dir() else [path]
        try:
            stats = [file.stat() for file in files]
        except FileNotFoundError:
            continue  # renamed or removed meanwhile by a training at work
        size = sum(stat.st_size for file, stat in zip(files, stats, strict=True) if file.is_file())
        found.append(TrainingFiles(path, size, max(stat.st_mtime for stat in stats) <= since))
    return found


def remove(given_up: list[TrainingFiles]) -> None:
    """Removes those that are given up among these."""
    for one in given_up:
        if one.given_up and one.path.is_dir():
            shutil.rmtree(one.path)
        elif one.given_up:
            one.path.unlink()

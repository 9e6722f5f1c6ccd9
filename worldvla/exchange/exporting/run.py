"""An export from beginning to end: reads the chosen episodes, a few at a time, and gives them to a format's writer."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.exchange.exporting.selection import Chosen
from worldvla.exchange.exporting.staging import staged
from worldvla.lake.episodes import assembled
from worldvla.lake.store import Lake, is_in
from worldvla.lake.tables import TABLES

# Episodes held in memory at once.
BATCH = 16
ABOUT = "worldvla.json"
FORMATS = ("lerobot", "hdf5", "parquet", "lerobot-lance")
VIDEO_FORMATS = ("lerobot", "lerobot-lance")


class Writer(Protocol):
    """Writes one dataset into an empty folder."""

    def add(self, episode: Episode, provenance: dict[str, Any]) -> None:
        """The next episode; raises `UserError` naming it where it does not fit the others."""
        ...

    def finish(self) -> None:
        """After the last one: what can be known only then."""
        ...

    def close(self) -> None:
        """Lets go of open files, also after an error."""
        ...


@dataclass(frozen=True)
class Video:
    """How pictures become video. `crf` is the encoder's constant rate factor: smaller is closer to the original;
    0 to 51 of h264, 1 to 63 of av1.

    `fps` is the rate to declare; None takes the recordings' own. Every second picture is a key frame, as in
    LeRobot's own datasets: a window anywhere is decoded from near its beginning.
    """

    version: str = "v3.0"
    codec: str = "h264"
    crf: int = 18
    fps: float | None = None


@dataclass(frozen=True)
class Exported:
    """What an export wrote. `left_out` are episodes that the selection names and that are not there, by reason."""

    to: Path
    format: str
    episodes: int
    frames: int
    bytes: int
    seconds: float
    left_out: dict[str, list[str]] = field(default_factory=dict)


def export(
    lake: Lake, chosen: Chosen, format_name: str, to: Path, video: Video, step: Callable[[str], None] = lambda _: None
) -> Exported:
    """Writes the chosen episodes to the folder `to`, which appears when it is complete; `step` hears of each one.

    Raises `UserError` where the folder is there, an episode has lost frames, or the format cannot hold one; of the
    rest of what a file system may refuse, `OSError`.
    """
    begin = time.monotonic()
    frames = 0
    with staged(to) as folder:
        writer = make_writer(format_name, folder, video)
        try:
            for episode, row in episodes(lake, chosen.rows):
                writer.add(episode, row)
                frames += episode.length + 1
                step(row["task"])
            writer.finish()
        finally:
            writer.close()
        about = {"format": format_name, "selection": chosen.described, "tables": chosen.tables}
        about |= {"seldom_drawn": chosen.seldom_drawn, "left_out": chosen.left_out}
        (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(to, format_name, len(chosen.rows), frames, size, time.monotonic() - begin, chosen.left_out)


def make_writer(format_name: str, folder: Path, video: Video) -> Writer:
    """The writer of a format; raises `UserError` on an unknown one."""
    if format_name == "lerobot":
        from worldvla.exchange.exporting.lerobot import LeRobotWriter

        return LeRobotWriter(folder, video)
    if format_name == "lerobot-lance":
        from worldvla.exchange.exporting.lerobot_lance import LeRobotLanceWriter

        return LeRobotLanceWriter(folder, video)
    if format_name == "hdf5":
        from worldvla.exchange.exporting.hdf5 import HDF5Writer

        return HDF5Writer(folder)
    if format_name == "parquet":
        from worldvla.exchange.exporting.parquet import ParquetWriter

        return ParquetWriter(folder)
    raise UserError(f"there is no format {format_name!r}; the formats are {', '.join(FORMATS)}")


def episodes(lake: Lake, rows: list[dict[str, Any]]) -> Iterator[tuple[Episode, dict[str, Any]]]:
    """The episodes of these rows of provenance, in their order; raises `UserError` where frames are missing."""
    columns = TABLES["frames"].schema.names
    for begin in range(0, len(rows), BATCH):
        part = rows[begin : begin + BATCH]
        table = lake.frame("frames", columns, is_in("episode_id", [row["episode_id"] for row in part]))
        of_episode = {key[0]: frames for key, frames in table.partition_by("episode_id", as_dict=True).items()}
        for row in part:
            frames = of_episode.get(row["episode_id"], table.clear())
            if len(frames) != row["length"] + 1:
                raise UserError(
                    f"episode {row['episode_id']} has {len(frames)} of {row['length'] + 1} frames: `worldvla doctor` "
                    "tells what is damaged; --audit and --episodes can leave it out"
                )
            yield assembled(row, frames), row

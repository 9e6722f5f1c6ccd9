"""What the tests of every format do: import into a lake of their own, and look at what came of it."""

from pathlib import Path

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.episodes.images import decode_image
from worldvla.exchange.importing.driver import Outcome, bring_in
from worldvla.exchange.importing.formats import open_source
from worldvla.exchange.importing.words import Words
from worldvla.lake.episodes import episode_rows, read_episode
from worldvla.lake.store import Lake

SUITE = "my_robot"


def bring(
    lake: Lake,
    format: str,
    path: Path | str,
    suite: str = SUITE,
    name: str = "data",
    task: str | None = None,
    instruction: str | None = None,
    chunk: int = 8,
    **given: str,
) -> Outcome:
    source = open_source(format, str(path), suite, name, Words(suite, task, instruction), given, chunk)
    return bring_in(lake, source.archive, source.recipe)


def episodes(lake: Lake) -> list[Episode]:
    """Everything recorded, by seed."""
    rows = episode_rows(lake).sort("seed")
    return [read_episode(lake, episode_id) for episode_id in rows["episode_id"]]


def refusals(lake: Lake) -> dict[str, str]:
    """Rule → reason of every record in quarantine, with where it lies."""
    return {row["rules"][0]: row["reason"] for row in lake.frame("quarantine").to_dicts()}


def shown(episode: Episode) -> np.ndarray:
    return np.stack([decode_image(image) for image in episode.images])

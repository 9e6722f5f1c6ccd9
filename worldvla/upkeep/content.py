"""The doctor on content: digests computed anew from what is stored."""

from collections.abc import Callable, Iterator

import polars as pl

from worldvla.errors import UserError
from worldvla.lake.digests import set_version
from worldvla.lake.episodes import assembled, episode_rows
from worldvla.lake.models import read_model
from worldvla.lake.store import Lake, is_in
from worldvla.lake.tables import TABLES
from worldvla.upkeep.finding import Finding

# Episodes whose encoded frames are in memory at once.
BATCH = 64


def sets(lake: Lake) -> Iterator[Finding]:
    """Sets of episodes whose members do not give the set's version, though all of them are there."""
    if not lake.exists("episode_sets"):
        return
    members = lake.frame("episode_sets", ["set_version", "episode_id"])
    digests = lake.frame("episodes", ["episode_id", "content_digest"])
    for (version,), rows in members.join(digests, on="episode_id", how="left").group_by("set_version"):
        whole = rows["content_digest"].null_count() == 0
        if whole and set_version(rows.select("episode_id", "content_digest").rows()) != version:
            problem = f"its {len(rows)} members are not those that its version names"
            yield Finding("digests", "error", "episode_sets", str(version), problem, "worldvla rematerialize its asset")


def episodes(lake: Lake, tick: Callable[[], None]) -> Iterator[Finding]:
    """Episodes whose rows and frames do not give their content digest, id or initial state."""
    if not lake.exists("episodes"):
        return
    ids = lake.frame("episodes", ["episode_id"])["episode_id"].to_list()
    columns = TABLES["frames"].schema.names
    for first in range(0, len(ids), BATCH):
        batch = ids[first : first + BATCH]
        frames = lake.frame("frames", columns, is_in("episode_id", batch)).partition_by("episode_id", as_dict=True)
        for row in episode_rows(lake, batch).to_dicts():
            yield from _episode(row, frames.get((row["episode_id"],)))
        tick()


def models(lake: Lake, tick: Callable[[], None]) -> Iterator[Finding]:
    """Models whose weights cannot be read or do not give their id."""
    for model in lake.frame("models", ["model_id"])["model_id"] if lake.exists("models") else ():
        try:
            read_model(lake, model)
        except UserError as error:
            fix = "worldvla doctor --deep --repair; then worldvla loop"
            yield Finding("digests", "error", "models", model, str(error), fix, "withdraw")
        tick()


def _episode(row: dict, frames: pl.DataFrame | None) -> Iterator[Finding]:
    if frames is None or len(frames) != row["length"] + 1:
        return  # the check of frames says so
    found = assembled(row, frames)
    for name in ("content_digest", "initial_state_digest", "episode_id"):
        if getattr(found, name) != row[name]:
            problem = f"its {name} is {row[name]}, what is stored gives {getattr(found, name)}"
            fix = f"worldvla retract {row['episode_id']} --reason 'damaged'; then worldvla rematerialize"
            yield Finding("digests", "error", "episodes", row["episode_id"], problem, fix)
            return

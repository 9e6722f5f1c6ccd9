"""Suites of what was recorded: episodes, their frames, the facts measured on them, and sets of them."""

import pandas as pd
import polars as pl

from worldvla.episodes.episode import Source
from worldvla.lake.episodes import camera_strides, episode_rows, set_members
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.quality.expectation import (
    Expectation,
    between,
    holds,
    not_empty_table,
    one_of,
    present,
    said,
    stripped,
    unique,
)
from worldvla.quality.frame_facts import frame_facts
from worldvla.quality.quarantine import releases
from worldvla.quality.rules import RULES, RULES_VERSION
from worldvla.quality.suites.suite import Scope, Suite

TOLERANCE = 1e-6
FRAME_COLUMNS = ["episode_id", "step", "image", "action", "reward", "progress"]
# Episodes whose encoded frames are in memory at once.
FRAME_BATCH = 64


def read_episodes(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The scope's set but for released records; `duplicate_of` is another episode of the lake with the same content."""
    data = episode_rows(lake, vouched_by_rules(lake, scope))
    contents = lake.frame("episodes", ["episode_id", "content_digest"])
    first = contents.group_by("content_digest").agg(
        pl.col("episode_id").min().alias("first"), pl.len().alias("recordings")
    )
    data = data.join(first, on="content_digest", how="left", maintain_order="left").with_columns(
        duplicate_of=pl.when((pl.col("recordings") > 1) & (pl.col("first") != pl.col("episode_id"))).then("first")
    )
    return data.drop("first", "recordings", "initial_state").to_pandas()


def expect_of_episodes(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    chunk = scope.config.scene.chunk
    data["length_in_chunks"] = data["length"] % chunk == 0
    data["best_agrees"] = (data["best_progress"] >= 1 - TOLERANCE) == data["success"]
    data["best_bounds_final"] = data["best_progress"] >= data["final_progress"] - TOLERANCE
    data["final_implies_success"] = ~data["final_success"].astype(bool) | data["success"]
    data["best_step_within"] = data["best_progress_step"].between(0, data["length"])
    data["instruction_text"] = stripped(data["instruction"])
    data["recorded_once"] = data["duplicate_of"].isna() if "duplicate_of" in data else True
    return [
        not_empty_table("episodes"),
        *present("episode_id", "content_digest", "initial_state_digest"),
        unique("episode ids are unique", "episode_id"),
        between("every episode has actions", "length", 1),
        holds(f"lengths are multiples of the chunk ({chunk})", "length_in_chunks"),
        holds("success is best progress 1", "best_agrees"),
        holds("final progress is at most best progress", "best_bounds_final"),
        holds("a final success is a success", "final_implies_success"),
        holds("best progress is reached within the episode", "best_step_within"),
        between("best progress is in [0, 1]", "best_progress", 0, 1),
        between("final progress is in [0, 1]", "final_progress", 0, 1),
        one_of("the source is known", "source", [str(source) for source in Source]),
        said("every episode has an instruction", "instruction_text"),
        holds(
            "no content is recorded twice",
            "recorded_once",
            "warning",
            "whoever acted, equal content teaches nothing new; curation lets one row stand for all of them",
        ),
    ]


def read_frames(lake: Lake, scope: Scope) -> pd.DataFrame:
    """One row an episode of the scope's set but for released records: `frame_facts`, and the episode's `length`."""
    ids = vouched_by_rules(lake, scope)
    batches = [ids[first : first + FRAME_BATCH] for first in range(0, len(ids), FRAME_BATCH)]
    rows = episode_rows(lake, ids)
    lengths, strides = rows.select("episode_id", "length"), camera_strides(rows)
    if not batches:
        return lengths.to_pandas()
    facts = pl.concat(
        frame_facts(lake.read("frames", FRAME_COLUMNS, is_in("episode_id", batch)), strides=strides)
        for batch in batches
    )
    return lengths.join(facts, on="episode_id", how="left").to_pandas()


def expect_of_frames(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    if data.empty:  # quality rules may have kept all of them out
        return [not_empty_table("episodes")]
    data["frames_match_length"] = data["frames"] == data["length"] + 1
    data["actions_match_length"] = data["actions"] == data["length"]
    return [
        not_empty_table("episodes"),
        holds("an episode of T actions has T + 1 frames", "frames_match_length"),
        holds("steps are 0, 1, 2, … without gap or repeat", "steps_contiguous"),
        holds("every frame but the last has an action", "actions_match_length"),
        holds("the last frame has no action", "last_has_no_action"),
        holds("actions are finite", "actions_finite"),
        between("actions are at least -1", "action_low", -1 - TOLERANCE),
        between("actions are at most 1", "action_high", None, 1 + TOLERANCE),
        holds("rewards are 0 or 1", "reward_binary"),
        between("progress is at least 0", "progress_low", 0),
        between("progress is at most 1", "progress_high", None, 1),
        one_of("every frame that is to be drawn has a picture", "images_empty", [0]),
        one_of("sampled pictures decode", "images_undecodable", [0]),
    ]


def vouched_by_rules(lake: Lake, scope: Scope) -> list[str]:
    """The scope's set without released records: for those a person vouches, rule by rule, in `read_facts`."""
    released = releases(lake)
    return [one for one in set_members(lake, scope.data_version) if one not in released]


def read_facts(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The facts of the scope's set under today's rules; null where a person released a record from the rule."""
    ids = set_members(lake, scope.data_version)
    where = f"rules_version = {quoted(RULES_VERSION)} AND {is_in('episode_id', ids)}"
    members = pl.DataFrame({"episode_id": ids}, schema={"episode_id": pl.String})
    facts = lake.frame("episode_facts", where=where).drop("errors", "warnings")
    data = members.join(facts, on="episode_id", how="left", maintain_order="left").to_pandas().set_index("episode_id")
    data["measured"] = data["rules_version"].notna()
    columns = {rule.name: rule.column for rule in RULES}
    for record, rules in releases(lake).items():
        if record in data.index:
            data.loc[record, [columns[rule] for rule in rules if rule in columns]] = None
    return data.reset_index()


def expect_of_facts(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    return [
        holds("every episode was measured", "measured"),
        *(
            between(
                f"no episode {rule.says} ({rule.name})", rule.column, rule.low, rule.high, rule.severity, rule.reason
            )
            for rule in RULES
        ),
    ]


def read_sets(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The rows of the scope's set; `recorded`: whether the member is in table `episodes`."""
    members = lake.frame("episode_sets", where=f"set_version = {quoted(scope.data_version)}")
    there = lake.frame("episodes", ["episode_id"], is_in("episode_id", members["episode_id"].to_list()))
    return members.join(there.with_columns(recorded=pl.lit(True)), on="episode_id", how="left").to_pandas()


def expect_of_sets(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["recorded"] = data["recorded"].notna() if "recorded" in data else True
    data["position_in_order"] = data["position"].rank(method="first") - 1 == data["position"]
    return [
        *present("set_version", "episode_id"),
        unique("a set holds an episode once", "set_version", "episode_id"),
        holds("members are recorded", "recorded"),
        holds("positions are 0, 1, 2, … without gap or repeat", "position_in_order"),
    ]


EPISODES = Suite("episodes", ("episode_id",), read_episodes, expect_of_episodes)
FRAMES = Suite("frames", ("episode_id",), read_frames, expect_of_frames)
FACTS = Suite("episode_facts", ("episode_id",), read_facts, expect_of_facts)
SETS = Suite("episode_sets", ("set_version", "episode_id"), read_sets, expect_of_sets)

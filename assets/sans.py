"""SANS: which episodes the loop learns from, those that come back to it among them."""

import polars as pl

from assets.metadata import table
from assets.publication import Content, Step, loop_asset
from worldvla.curation.sans import FEEDBACK, Origin, curate, learned_from
from worldvla.errors import UserError
from worldvla.lake.digests import rows_version
from worldvla.lake.episodes import episode_rows
from worldvla.partitions import iteration_key
from worldvla.planner.graph import GRAPH


def sans(step: Step) -> Content:
    """Success And Near-Success: every episode's label and split, with the rule and the values that decided."""
    origins = _raw_origins(step)
    for number in range(int(step.iteration)):
        iteration = iteration_key(number)
        origins |= dict.fromkeys(step.members("policy_rollouts", iteration), (FEEDBACK, iteration))
    episodes = episode_rows(step.lake, list(origins))
    rows = curate(episodes, origins, step.config.curation)
    curated = pl.DataFrame(rows, infer_schema_length=None)
    version = rows_version(rows)
    counts = curated.group_by("split", "label").len("episodes").sort("split", "label").to_dicts()
    step.lake.insert("sans", [{"sans_version": version, **row} for row in rows], step.commit)
    return Content(
        version,
        details={"rows": len(rows), "counts": counts, "fed_back": int((curated["origin"] == FEEDBACK).sum())},
        metadata={
            "dagster/row_count": len(rows),
            "splits and labels": table(counts),
        },
    )


def _raw_origins(step: Step) -> dict[str, Origin]:
    """Which recorded set each raw episode came from; of sets that were published since, what raw_episodes has."""
    recorded: dict[str, Origin] = {}
    for asset in GRAPH["raw_episodes"].parents:
        recorded |= dict.fromkeys(step.members(asset), (asset, None))
    raw = step.members("raw_episodes")
    if gone := set(raw) - recorded.keys():
        raise UserError(
            f"sans: {len(gone)} episodes of raw_episodes are in none of the sets that it is made from any more; "
            f"`worldvla rematerialize --campaign {step.campaign}` makes it anew first"
        )
    return {episode: recorded[episode] for episode in raw}


def sans_rows(step: Step, split: str) -> pl.DataFrame:
    """The SANS rows of the step's iteration in one split, by episode id; but for the held-out ones, by which models are
    measured, without the labels excluded: what chooses by validation episodes has not seen those either."""
    version = step.record("sans").data_version
    rows = step.lake.frame("sans", where=f"sans_version = '{version}' AND split = '{split}'")
    if split != "heldout":
        rows = rows.filter(~pl.col("label").is_in(step.config.curation.exclude))
    return rows.sort("episode_id")


def deciding_episodes(step: Step) -> list[str]:
    """The validation episodes of the step's iteration that weights and thresholds are chosen on, by id."""
    from worldvla.alignment.selection import choose_deciding

    unseen = episode_rows(step.lake, sans_rows(step, "validation")["episode_id"].to_list())
    return choose_deciding(unseen.to_dicts(), step.config.fine_tuning.calibration_episodes)


def training_rows(step: Step, asset: str) -> pl.DataFrame:
    """The episodes of an asset that models train on, by episode id."""
    return learned_from(episode_rows(step.lake, step.members(asset)).sort("episode_id"), step.config.curation)


ASSETS = [loop_asset(sans)]

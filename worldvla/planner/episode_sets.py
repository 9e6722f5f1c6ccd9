"""Episode sets against the episodes that are there now: what was deleted, retracted or corrected since.

A set is named by the ids and content digests of its members, so a set whose members have
that name still is as it was published. Only the others are looked at one by one.
"""

import hashlib
import json
from dataclasses import replace

import polars as pl

from worldvla.episodes.episode import ORIGIN, episode_id
from worldvla.lake.digests import DIGEST_LENGTH, EMPTY_SET, set_version
from worldvla.lake.store import Lake
from worldvla.planner.state import Observed


def members_now(lake: Lake) -> pl.DataFrame:
    """The members of all sets: set_version, episode_id, and content_digest, null where the episode is gone."""
    members = lake.frame("episode_sets", ["set_version", "episode_id"])
    return members.join(lake.frame("episodes", ["episode_id", "content_digest"]), on="episode_id", how="left")


def observe_versions(lake: Lake, versions: set[str], members: pl.DataFrame | None = None) -> dict[str, Observed]:
    """What is left of the sets with these names; those that are whole are not listed.

    `members`: what `members_now` returned a moment ago, where that was asked for beforehand.
    """
    members = members_now(lake) if members is None else members
    found = members.filter(pl.col("set_version").is_in(versions))
    retractions = lake.frame("retractions", ["episode_id", "reason"])
    withdrawn = found.join(retractions, on="episode_id", how="semi")["set_version"]
    others = renamed(found)
    lost = versions - set(found["set_version"].unique()) - {EMPTY_SET}
    emptied = {version: Observed(EMPTY_SET, 0, damaged=True) for version in lost}
    suspects = others | set(withdrawn)
    if not suspects:
        return emptied
    found = found.filter(pl.col("set_version").is_in(suspects)).join(retractions, on="episode_id", how="left")
    corrected = _corrected(lake, found.filter(pl.col("set_version").is_in(others)))
    observed = {version: _observed(rows, corrected) for (version,), rows in found.group_by("set_version")}
    # Of an episode that is gone or corrected, withdrawn or not, nobody knows that it is not what the set's name says.
    unlike = found.filter(pl.col("content_digest").is_null() | pl.col("episode_id").is_in(corrected))
    unexplained = others - set(unlike["set_version"])
    observed = {version: replace(one, damaged=version in unexplained) for version, one in observed.items()}
    return emptied | {version: one for version, one in observed.items() if one.missing or one.altered or one.damaged}


def renamed(found: pl.DataFrame) -> set[str]:
    """The sets whose members have another name by now: `set_version` of each, at a million rows a second.

    `found`: set_version, episode_id and content_digest, null where the episode is gone.
    """
    pair = pl.concat_str(pl.lit('["'), "episode_id", pl.lit('","'), "content_digest", pl.lit('"]'))
    texts = found.group_by("set_version").agg(pair.sort().str.join(",", ignore_nulls=True))
    return {
        version
        for version, text in texts.iter_rows()
        if hashlib.sha256(f'["episode_set",[{text}]]'.encode()).hexdigest()[:DIGEST_LENGTH] != version
    }


def _corrected(lake: Lake, found: pl.DataFrame) -> set[str]:
    """The episodes whose id does not name the content that their row has."""
    if found.is_empty():
        return set()
    rows = lake.frame("episodes", ["episode_id", "content_digest", "instruction", *ORIGIN])
    rows = rows.join(found, on="episode_id", how="semi")
    return {row["episode_id"] for row in rows.iter_rows(named=True) if not _names_its_content(row)}


def _names_its_content(row: dict) -> bool:
    origin = row | {"settings": json.loads(row["settings"] or "{}")}
    return episode_id(origin, row["content_digest"], row["instruction"]) == row["episode_id"]


def _observed(rows: pl.DataFrame, corrected: set[str]) -> Observed:
    """One set's members, each with its content digest if it is recorded and a reason if it is retracted."""
    retracted = rows.filter(pl.col("reason").is_not_null()).sort("episode_id")
    kept = rows.filter(pl.col("reason").is_null())
    missing = kept.filter(pl.col("content_digest").is_null())["episode_id"].sort().to_list()
    whole = kept.filter(pl.col("content_digest").is_not_null())
    return Observed(
        version=set_version(whole.select("episode_id", "content_digest").rows()),
        size=len(rows),
        missing=tuple(missing),
        retracted=tuple(retracted.select("episode_id", "reason").rows()),
        corrected=tuple(whole.filter(pl.col("episode_id").is_in(corrected))["episode_id"].sort()),
    )

"""The doctor on references: rows that name what is not there, rows that nobody names, rows that are there twice."""

import json
from collections.abc import Iterator

import polars as pl

from worldvla.lake.digests import EMPTY_SET
from worldvla.lake.materializations import CONTENT_ROWS, latest
from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.planner.graph import GRAPH
from worldvla.upkeep.finding import Finding
from worldvla.upkeep.needed import autoencoders

# (table, column that names, table that is named, its key).
REFERENCES = (
    ("episode_sets", "episode_id", "episodes", "episode_id"),
    ("sans", "episode_id", "episodes", "episode_id"),
    ("sans", "policy_id", "models", "model_id"),
    ("keyframes", "episode_id", "episodes", "episode_id"),
    ("training_membership", "episode_id", "episodes", "episode_id"),
    ("alignments", "episode_id", "episodes", "episode_id"),
    ("alignments", "model_id", "models", "model_id"),
    ("evaluations", "policy_id", "models", "model_id"),
    ("episodes", "policy_id", "models", "model_id"),
    ("retractions", "episode_id", "episodes", "episode_id"),
)
SHOWN = 3
RETAIN = "worldvla retain --apply"
REPAIR = "worldvla doctor --repair; then worldvla loop"


def dangling(lake: Lake) -> Iterator[Finding]:
    """Columns that name an episode or a model that is not there."""
    for table, column, named, key in REFERENCES:
        if lake.exists(table):
            there = _keys(lake, named, key)
            values = lake.frame(table, [column])[column].drop_nulls().unique()
            yield from _missing(table, column, named, values.filter(~values.is_in(there.implode())).sort().to_list())
    if lake.exists("models"):
        there = set(_keys(lake, "models", "model_id"))
        parents = {row["model_id"]: json.loads(row["parents"]) for row in lake.read("models").to_pylist()}
        named = {parent for one in parents.values() for parent in one.values()}
        yield from _missing("models", "parents", "models", sorted(named - there))
    if lake.exists("iterations"):
        there = set(_keys(lake, "models", "model_id"))
        rows = lake.read("iterations", ["models"])["models"].to_pylist()
        named = {model for row in rows for model in json.loads(row or "{}").values()}
        yield from _missing("iterations", "models", "models", sorted(named - there))


def publications(lake: Lake) -> Iterator[Finding]:
    """Current publications whose content is not there; episodes of a set are looked at by `dangling`."""
    if not lake.exists("materializations"):
        return
    # Before the contents: what is published later, or meanwhile, is looked at by no one rather than not found.
    published = latest(lake)
    there = {
        "models": set(_keys(lake, "models", "model_id")),
        "episode_sets": set(_keys(lake, "episode_sets", "set_version")),
    }
    counts = {
        asset: dict(lake.frame(table, [column]).group_by(column).len().iter_rows()) if lake.exists(table) else {}
        for asset, (table, column) in CONTENT_ROWS.items()
    }
    for (asset, campaign, iteration), record in published.items():
        version = record.data_version
        if asset in KINDS:
            table = "models"
            whole = version in there[table]
        elif asset in CONTENT_ROWS:
            table = CONTENT_ROWS[asset][0]
            rows = counts[asset].get(version, 0)
            whole = rows == record.details.get("rows", max(rows, 1))
        else:
            table = "episode_sets"
            # What other code published under a name that the graph does not have is no node.
            holds_episodes = asset in GRAPH and GRAPH[asset].holds_episodes
            whole = not holds_episodes or version in there[table] or version == EMPTY_SET
        if not whole:
            where = "/".join(filter(None, (campaign, iteration, asset)))
            problem = f"publishes {version}, of which table {table} lacks rows"
            yield Finding("publications", "error", "materializations", where, problem, REPAIR, "withdraw")


def frames(lake: Lake) -> Iterator[Finding]:
    """Episodes without each of their frames, and frames of no episode."""
    if not lake.exists("frames"):
        return
    counted = lake.frame("frames", ["episode_id"]).group_by("episode_id").len("frames")
    episodes = lake.frame("episodes", ["episode_id", "length"])
    joined = episodes.join(counted, on="episode_id", how="left").with_columns(pl.col("frames").fill_null(0))
    for episode, length, found in (
        joined.filter(pl.col("frames") != pl.col("length") + 1).sort("episode_id").iter_rows()
    ):
        problem = f"has {found} frames of {length + 1}"
        fix = f"worldvla retract {episode} --reason 'frames are missing'; then worldvla rematerialize"
        yield Finding("frames", "error", "frames", episode, problem, fix)
    loose = counted.join(episodes, on="episode_id", how="anti")
    if loose.height:
        yield _orphans("frames", loose["episode_id"].min(), f"frames of {loose.height} episodes that are not recorded")


def unpublished(lake: Lake) -> Iterator[Finding]:
    """Content that no publication names: left by work that was killed, superseded or is under way."""
    if not lake.exists("materializations"):
        return
    named = lake.frame("materializations", ["data_version"])["data_version"].unique()
    trained = lake.frame("training_membership", ["set_version"])["set_version"].drop_nulls().unique()
    for table, key in (("models", "model_id"), *((table, column) for table, column in CONTENT_ROWS.values())):
        yield from _unnamed(lake, table, key, named)
    yield from _unnamed(lake, "episode_sets", "set_version", pl.concat([named, trained]).unique())
    yield from _unnamed(lake, "training_membership", "model_id", _keys(lake, "models", "model_id"))
    if lake.exists("latents"):
        models = autoencoders(lake.frame("models", ["config"])["config"]).drop_nulls().unique()
        yield from _unnamed(lake, "latents", "autoencoder", models)
        yield from _unnamed(lake, "latents", "episode_id", _keys(lake, "episodes", "episode_id"))


def doubled(lake: Lake) -> Iterator[Finding]:
    """Keys that more than one row has."""
    for table, spec in TABLES.items():
        if spec.keys and lake.exists(table):
            keys = lake.frame(table, list(spec.keys))
            twice = keys.filter(keys.is_duplicated()).unique().sort(spec.keys)
            if twice.height:
                problem = f"{twice.height} keys have more than one row; some writer did not take the table's lock"
                subject = "/".join(map(str, twice.row(0)))
                yield Finding("doubled", "error", table, subject, problem, "compare the rows, delete those too many")


def _missing(table: str, column: str, named: str, ids: list[str]) -> Iterator[Finding]:
    if ids:
        some = ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
        problem = f"{column} names {len(ids)} that table {named} lacks: {some}"
        yield Finding("dangling", "error", table, ids[0], problem, "worldvla rematerialize what made them")


def _unnamed(lake: Lake, table: str, key: str, named: pl.Series) -> Iterator[Finding]:
    if lake.exists(table):
        values = lake.frame(table, [key])[key].unique()
        loose = values.filter(~values.is_in(named.implode()))
        if len(loose):
            yield _orphans(table, str(loose.min()), f"{len(loose)} {key} that nothing published names")


def _orphans(table: str, subject: str, problem: str) -> Finding:
    return Finding("orphaned rows", "note", table, subject, problem, RETAIN)


def _keys(lake: Lake, table: str, key: str) -> pl.Series:
    return lake.frame(table, [key])[key].unique() if lake.exists(table) else pl.Series(key, [], pl.String)

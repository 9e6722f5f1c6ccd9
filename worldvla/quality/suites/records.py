"""Suites of the lake's own books: publications, version vectors, retractions, quarantine, and any other table."""

import pandas as pd
import polars as pl

from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.quality.expectation import (
    Expectation,
    between,
    holds,
    is_json_object,
    not_empty_table,
    one_of,
    present,
    said,
    stripped,
    unique,
)
from worldvla.quality.quarantine import quarantine_of
from worldvla.quality.rules import RULES, UNMAPPABLE
from worldvla.quality.suites.suite import Scope, Suite, rows


def read_materializations(lake: Lake, scope: Scope) -> pd.DataFrame:
    """What the scope's campaign published for this iteration, and once for all of them."""
    published = pd.concat(
        [
            rows(lake, "materializations", campaign=scope.campaign, iteration=iteration)
            for iteration in dict.fromkeys(("", scope.iteration))
        ]
    )
    return published.reset_index(drop=True)


def expect_of_materializations(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    for column in ("parents", "details", "tables"):
        data[f"{column}_is_json"] = is_json_object(data[column])
    return [
        not_empty_table("publications"),
        *present("data_version", "code_version", "config_digest", "fingerprint", "run_id", "materialized_at"),
        one_of(
            "the asset is one of the graph",
            "asset",
            scope.assets,
            "warning",
            "it was published by a version of worldvla that had this asset; nothing reads it any more",
        ),
        *(holds(f"{column} are a JSON object", f"{column}_is_json") for column in ("parents", "details", "tables")),
        between("it took no negative time", "seconds", 0),
        between("real steps are counted", "real_steps", 0),
        between("imagined steps are counted", "imagined_steps", 0),
    ]


def read_iterations(lake: Lake, scope: Scope) -> pd.DataFrame:
    return rows(lake, "iterations", campaign=scope.campaign, iteration=scope.iteration)


def expect_of_iterations(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    for column in ("versions", "tables", "models"):
        data[f"{column}_is_json"] = is_json_object(data[column])
    return [
        not_empty_table("iterations"),
        *present("committed_at"),
        unique("an iteration has one version vector", "campaign", "iteration"),
        *(holds(f"{column} are a JSON object", f"{column}_is_json") for column in ("versions", "tables", "models")),
        between("real steps are counted", "real_steps", 0),
        between("imagined steps are counted", "imagined_steps", 0),
    ]


def read_retractions(lake: Lake, scope: Scope) -> pd.DataFrame:
    """Every retraction; `recorded`: whether its episode is in the lake."""
    return _with(lake, lake.frame("retractions"), "episodes", "episode_id", "episode_id", "recorded")


def expect_of_retractions(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["reason_text"] = stripped(data["reason"])
    return [
        unique("an episode is retracted once", "episode_id"),
        said("every retraction says why", "reason_text"),
        *present("retracted_at"),
        holds(
            "retracted episodes keep their bytes",
            "recorded",
            "warning",
            "a retraction withdraws and deletes nothing; the episode was removed afterwards",
        ),
    ]


def read_quarantine(lake: Lake, scope: Scope) -> pd.DataFrame:
    return quarantine_of(lake).to_pandas()


def expect_of_quarantine(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    known = {rule.name for rule in RULES} | UNMAPPABLE.keys()
    data["reason_text"] = stripped(data["reason"])
    data["rules_named"] = data["rules"].map(lambda rules: rules is not None and len(rules) > 0).astype(bool)
    data["rules_known"] = data["rules"].map(lambda rules: set(rules if rules is not None else ()) <= known).astype(bool)
    return [
        *present("record_id", "rules_version", "asset", "quarantined_at"),
        unique("a record is refused once by a version of the rules", "record_id", "rules_version"),
        said("every record says why it is here", "reason_text"),
        holds("every record names the rules that it breaks", "rules_named"),
        holds(
            "every rule is one of today's", "rules_known", "warning", "a rule that has been given up can be released"
        ),
        holds("every record has its bytes", "has_bytes"),
    ]


def read_releases(lake: Lake, scope: Scope) -> pd.DataFrame:
    """Every release; `held`: whether its record is in quarantine."""
    return _with(lake, lake.frame("quarantine_releases"), "quarantine", "record_id", "record_id", "held")


def expect_of_releases(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    for column in ("reason", "released_by"):
        data[f"{column}_text"] = stripped(data[column])
    return [
        *present("record_id", "rule", "released_at"),
        unique("a record is released from a rule once", "record_id", "rule"),
        said("every release says why", "reason_text"),
        said("every release says who", "released_by_text"),
        holds("what was released is in quarantine", "held"),
    ]


def for_any_table(name: str) -> Suite:
    """What must hold of every table: its keys are there, and each names one row."""
    table = TABLES[name]

    def read(lake: Lake, scope: Scope) -> pd.DataFrame:
        scoped = {c: getattr(scope, c) for c in ("campaign", "iteration") if c in table.schema.names}
        return rows(lake, name, **scoped)

    def expect(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
        keys = table.keys
        named = [unique(f"{' and '.join(keys)} name one row", *keys)] if keys else []
        return [*present(*keys), *named] or [
            Expectation("it can be read", "ExpectTableRowCountToBeBetween", {"min_value": 0})
        ]

    return Suite(name, table.keys or (table.schema.names[0],), read, expect)


def _with(lake: Lake, data: pl.DataFrame, table: str, key: str, on: str, flag: str) -> pd.DataFrame:
    """The rows with a flag: whether the other table has a row of this key."""
    there = set(lake.frame(table, [key])[key]) if len(data) else set()
    return data.with_columns(pl.col(on).is_in(list(there)).alias(flag)).to_pandas()


MATERIALIZATIONS = Suite(
    "materializations",
    ("asset", "campaign", "iteration", "data_version"),
    read_materializations,
    expect_of_materializations,
)
ITERATIONS = Suite("iterations", ("campaign", "iteration"), read_iterations, expect_of_iterations)
RETRACTIONS = Suite("retractions", ("episode_id",), read_retractions, expect_of_retractions)
QUARANTINE = Suite("quarantine", ("record_id", "rules_version"), read_quarantine, expect_of_quarantine)
RELEASES = Suite("quarantine_releases", ("record_id", "rule"), read_releases, expect_of_releases)

"""Suites of what models learn from and what they become: SANS, keyframes, models and what trained them."""

import json

import pandas as pd

from worldvla.curation.sans import FEEDBACK, LABELS
from worldvla.curation.splits import SPLITS, split_of
from worldvla.lake.models import KINDS
from worldvla.lake.store import Lake, is_in
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
from worldvla.quality.suites.suite import Scope, Suite, rows


def read_sans(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The scope's SANS, with each episode's `initial_state_digest`."""
    return with_episodes(lake, rows(lake, "sans", sans_version=scope.data_version), "initial_state_digest")


def expect_of_sans(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    succeeded = data["success_frames"] > 0
    close = data["best_progress"] >= data["threshold"]
    data["label_follows"] = (
        ((data["label"] == "success") == succeeded)
        & ((data["label"] == "near_success") == (~succeeded & close))
        & ((data["label"] == "failure") == (~succeeded & ~close))
    )
    data["one_side"] = data.groupby("initial_state_digest")["split"].transform("nunique") == 1
    data["feedback_iteration_named"] = (data["origin"] == FEEDBACK) == data["origin_iteration"].notna()
    outcome = (data["label"] == "success").map({True: "success", False: "no success"})
    data["training_outcome"] = outcome.where(data["split"] == "train", None)
    data["rule_text"] = stripped(data["rule"])
    return [
        not_empty_table("episodes"),
        unique("episode ids are unique", "episode_id"),
        one_of("the label is known", "label", LABELS),
        one_of("the split is known", "split", SPLITS),
        said("every label names its rule", "rule_text"),
        holds("the label follows from the measured values", "label_follows"),
        holds("no initial state is in two splits", "one_side"),
        holds("feedback names its iteration", "feedback_iteration_named"),
        Expectation(
            "the training set has both outcomes",
            "ExpectColumnDistinctValuesToContainSet",
            {"column": "training_outcome", "value_set": ["no success", "success"]},
        ),
    ]


def read_keyframes(lake: Lake, scope: Scope) -> pd.DataFrame:
    return with_episodes(lake, rows(lake, "keyframes", keyframes_version=scope.data_version), "length")


def expect_of_keyframes(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["before_the_end"] = (data["step"] >= 0) & (data["step"] < data["length"])
    data["starts_at_reset"] = (data["step"] == 0) | (data["kind"] != "start")
    return [
        not_empty_table("keyframes"),
        *present("episode_id", "task"),
        unique("a moment is a keyframe once", "keyframes_version", "episode_id", "step"),
        one_of("the kind is known", "kind", ["start", "near_failure"]),
        holds("a keyframe lies before its episode's last state", "before_the_end"),
        holds("a start is the state after the reset", "starts_at_reset"),
    ]


def read_models(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The scope's model; `parents_there`: whether every parent it names is a model of the lake."""
    data = rows(lake, "models", model_id=scope.data_version)
    known = set(lake.frame("models", ["model_id"])["model_id"])
    data["parents_there"] = data["parents"].map(lambda text: set(json.loads(text or "{}").values()) <= known)
    return data


def expect_of_models(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    for column in ("config", "parents", "metrics"):
        data[f"{column}_is_json"] = is_json_object(data[column])
    finite = ~data["metrics"].fillna("").str.contains('"(?:nan|inf|-inf)"', regex=True)
    data["metrics_finite"] = finite
    return [
        not_empty_table("models"),
        unique("model ids are unique", "model_id"),
        one_of("the kind is known", "kind", KINDS),
        holds("the configuration is a JSON object", "config_is_json"),
        holds("parents are a JSON object", "parents_is_json"),
        holds("metrics are a JSON object", "metrics_is_json"),
        holds("every parent is a model of the lake", "parents_there"),
        holds(
            "metrics are finite",
            "metrics_finite",
            "warning",
            "a loss that is no number is what a training leaves that has diverged",
        ),
    ]


def read_membership(lake: Lake, scope: Scope) -> pd.DataFrame:
    """What trained the scope's model; `split` by each episode's initial state, null where it is not recorded."""
    data = rows(lake, "training_membership", model_id=scope.data_version)
    data = with_episodes(lake, data, "initial_state_digest")
    data["split"] = data["initial_state_digest"].map(
        lambda digest: split_of(digest, scope.config.curation) if isinstance(digest, str) else None
    )
    return data


def expect_of_membership(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["recorded"] = data["split"].notna()
    data["label_text"] = stripped(data["label"])
    return [
        not_empty_table("training episodes"),
        *present("set_version"),
        unique("a model was trained on an episode once", "model_id", "episode_id"),
        holds("training episodes are recorded", "recorded"),
        one_of(
            "no model has seen an episode held out",
            "split",
            ["train"],
            reason="figures measured on held-out initial states are worth nothing otherwise",
        ),
        said("every episode has the label that training saw", "label_text"),
        between("the table version that was read is named", "lance_version", 1),
    ]


def with_episodes(lake: Lake, data: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows with columns of their episodes, null where an episode is not recorded."""
    ids = data["episode_id"].unique().tolist()
    there = lake.frame("episodes", ["episode_id", *columns], is_in("episode_id", ids)).to_pandas()
    return data.merge(there, on="episode_id", how="left")


SANS = Suite("sans", ("sans_version", "episode_id"), read_sans, expect_of_sans)
KEYFRAMES = Suite("keyframes", ("episode_id", "step"), read_keyframes, expect_of_keyframes)
MODELS = Suite("models", ("model_id",), read_models, expect_of_models)
MEMBERSHIP = Suite("training_membership", ("model_id", "episode_id"), read_membership, expect_of_membership)

"""Suites of what was measured: alignment of the world model, evaluation of policies."""

import math

import pandas as pd

from worldvla.curation.splits import split_of
from worldvla.lake.store import Lake, is_in
from worldvla.quality.expectation import Expectation, between, holds, not_empty_table, one_of, present, unique
from worldvla.quality.suites.suite import Scope, Suite, rows
from worldvla.quality.suites.training import with_episodes
from worldvla.sim.suites import is_shipped

TOLERANCE = 1e-6
CURVES = (
    "psnr_curve",
    "ssim_curve",
    "flip_curve",
    "static_psnr_curve",
    "reward_curve",
    "judge_curve",
    "judge_real_curve",
    "true_reward_curve",
)
FINITE = ("psnr", "psnr_last", "static_psnr", "static_psnr_last", "ssim", "flip")


def read_alignments(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The scope's alignment, with each episode's `length` and its `success`."""
    return with_episodes(lake, rows(lake, "alignments", alignment_version=scope.data_version), "length", "success")


def expect_of_alignments(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["figures_are_numbers"] = data[list(FINITE)].map(_is_number).all(axis=1)
    data["curves_are_whole"] = [
        all(row[curve] is None or len(row[curve]) * row["frame_stride"] == row["length"] for curve in CURVES)
        for row in data[[*CURVES, "length", "frame_stride"]].fillna({"frame_stride": 1}).to_dict("records")
    ]
    data["truth_is_the_episodes"] = data["true_success"] == data["success"]
    return [
        not_empty_table("replayed episodes"),
        *present("model_id", "protocol", "task", "judged_success_imagined", "judged_success_real", "reward_success"),
        unique("an episode is replayed once", "alignment_version", "episode_id"),
        holds("figures are numbers", "figures_are_numbers"),
        between("PSNR is at least 0 dB", "psnr", 0),
        between("SSIM is in [-1, 1]", "ssim", -1, 1),
        between("FLIP is in [0, 1]", "flip", 0, 1),
        between("the success threshold is in [0, 1]", "success_threshold", 0, 1),
        between("the judge's threshold is in [0, 1]", "judge_threshold", 0, 1),
        holds("curves have one value an imagined frame", "curves_are_whole"),
        holds("the true outcome is the episode's own", "truth_is_the_episodes"),
    ]


def read_evaluations(lake: Lake, scope: Scope) -> pd.DataFrame:
    """The evaluated episodes, under every protocol, of the policies that the scope compares."""
    policies = [scope.parents[name] for name in ("base_policy", "rl_policy") if name in scope.parents]
    return lake.frame("evaluations", where=is_in("policy_id", policies)).to_pandas()


def expect_of_evaluations(data: pd.DataFrame, scope: Scope) -> list[Expectation]:
    data["success_is_best_progress"] = data["success"].astype(bool) == (data["best_progress"] >= 1 - TOLERANCE)
    suite, curation = scope.config.scene.suite, scope.config.curation
    data["split"] = [
        "shipped" if is_shipped(suite, seed) else split_of(state, curation)
        for seed, state in zip(data["seed"], data["initial_state_digest"], strict=True)
    ]
    return [
        not_empty_table("evaluated episodes"),
        *present("policy_id", "protocol", "task", "seed", "initial_state_digest", "success"),
        unique("an episode is evaluated once", "policy_id", "protocol", "task", "seed"),
        between("an episode has steps, at most as many as allowed", "steps", 1, scope.config.scene.max_steps),
        between("best progress is in [0, 1]", "best_progress", 0, 1),
        holds("success is best progress 1", "success_is_best_progress"),
        one_of(
            "initial states are held out",
            "split",
            ["heldout", "shipped"],
            reason="a rate on states that models were trained on says nothing about others",
        ),
    ]


def _is_number(value: float | None) -> bool:
    """Infinity is one: the PSNR of equal pictures."""
    return value is not None and not math.isnan(value)


ALIGNMENTS = Suite("alignments", ("alignment_version", "episode_id"), read_alignments, expect_of_alignments)
EVALUATIONS = Suite("evaluations", ("policy_id", "protocol", "task", "seed"), read_evaluations, expect_of_evaluations)

"""What an evaluation says that it cost, and whose word about the training it takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from assets.publication import Step
from assets.rollouts import evaluation, steps_taken
from tests.factories import CAMPAIGN, synthetic_lake
from worldvla.config import ActionNoise
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.materializations import latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.policy.actor import PolicySpec
from worldvla.sim.evaluation import evaluate, protocol

SEEDS = {"PushCube-v1": range(900_000, 900_003)}


@pytest.mark.parametrize(("iteration", "steps"), [("0000", 3 * 40 + 3 * 16), ("0001", 3 * 16)])
def test_steps_that_an_attempt_before_took_are_counted(tmp_path: Path, iteration: str, steps: int) -> None:
    """All episodes are there, as where an evaluation was killed at its end, or is made anew for another setting."""
    lake, settings = Lake(tmp_path), protocol("maniskill_tabletop", 48, 8, 0.6, 900_000, "heldout")
    commit = Commit("run", "evaluation")
    rows = [
        {
            "policy_id": policy,
            "protocol": digest(settings),
            "task": task,
            "seed": seed,
            "initial_state_digest": str(seed),
            "success": True,
            "steps": length,
            "best_progress": 1.0,
        }
        for policy, length in (("base", 40), ("new", 16))
        for task, seeds in SEEDS.items()
        for seed in seeds
    ]
    lake.insert("evaluations", rows, commit)
    actors = [PolicySpec("", {}, policy, ActionNoise.one_by_one(0.6)) for policy in ("base", "new")]
    known = evaluate(lake, actors, settings, SEEDS, 1, commit, "evaluation")
    assert steps_taken(iteration, known["base"], known["new"]) == steps


def test_what_other_code_says_of_the_training_is_not_read(tmp_path: Path) -> None:
    """Asked alone, in Dagster's UI: before anything is rolled out, not when its details turn out to lack a field."""
    lake = synthetic_lake(tmp_path)
    trained, now = latest(lake)["rl_policy", CAMPAIGN, "0000"], GRAPH["rl_policy"].code_version
    publish(lake, replace(trained, asset="judge", iteration=""), Commit("run", "judge"))
    told = f"rl_policy of {CAMPAIGN} 0000 was made by code version {trained.code_version} and is read by {now}: run"
    with pytest.raises(UserError, match=f"{told} `worldvla rematerialize --campaign {CAMPAIGN}`"):
        evaluation(Step(GRAPH["evaluation"], CAMPAIGN, "0000", lake, "run"))
    publish(lake, replace(trained, code_version=now), Commit("run", "rl_policy"))
    assert Step(GRAPH["evaluation"], CAMPAIGN, "0000", lake, "run").details("rl_policy") == trained.details

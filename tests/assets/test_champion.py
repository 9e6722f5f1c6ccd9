"""Which policy a new one has to beat."""

from pathlib import Path

import pytest

from assets.publication import Step
from assets.rollouts import reigning_policy
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.tracking.champion import promote, registered_name
from worldvla.tracking.training_run import DatasetReference, training_run


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    return Lake(tmp_path / "lake")


def evaluated(lake: Lake, iteration: str, champion: str) -> None:
    record = Materialization(
        asset="evaluation",
        campaign="test",
        iteration=iteration,
        data_version="d",
        code_version="1",
        config_digest="c",
        parents={},
        fingerprint=iteration,
        run_id="run",
        details={"champion": {"after": champion}},
    )
    publish(lake, record, Commit("run", "evaluation", "test", iteration))


def reigning(lake: Lake, iteration: str, new: str) -> str:
    return reigning_policy(Step(GRAPH["evaluation"], "test", iteration, lake, "run"), "base", new)


@pytest.mark.slow
def test_a_policy_does_not_reign_over_its_own_evaluation(lake: Lake) -> None:
    assert reigning(lake, "0000", "first") == "base"
    dataset = DatasetReference("episodes", "lake/episodes", 1, "digest", 16)
    with training_run("test", "rl_policy", "fingerprint", {}, dataset) as training:
        training.register(registered_name("test"), "first", "rl_policy", {}, b"weights", [])
    promote("test", "first")
    assert reigning(lake, "0000", "first") == "base", "promoted by an attempt that was killed before it published"
    assert reigning(lake, "0001", "second") == "first"
    for iteration in ("0000", "0001", "0002"):
        evaluated(lake, iteration, f"champion of {iteration}")
    assert reigning(lake, "0002", "first") == "champion of 0001"

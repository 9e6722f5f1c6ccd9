"""What surrounds a training: the version of the lake that MLflow names is the one that is kept."""

import json
from pathlib import Path

import pytest

from assets.publication import Step
from assets.trained import tracked
from tests.factories import synthetic_episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.tracking.training_run import client


def test_a_training_that_was_killed_keeps_the_version_that_it_told_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    lake, commit = Lake.default(), Commit("run", "demonstrations")
    step = Step(GRAPH["demonstrations"], "test", "", lake, "run")
    write_episodes(lake, [synthetic_episode(1)], commit)
    killed = tracked(step, "episodes", "set", 1)
    run = killed.__enter__()  # and never left, as by kill -9
    write_episodes(lake, [synthetic_episode(2)], commit)
    with tracked(step, "episodes", "set", 1) as resumed:
        assert resumed.run_id == run.run_id
    [read] = client().get_run(resumed.run_id).inputs.dataset_inputs
    told = json.loads(read.dataset.source)["version"]
    assert told < lake.version("episodes") and lake.tags("episodes") == {f"training-{step.fingerprint}": told}

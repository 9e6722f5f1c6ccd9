"""What surrounds a training: what MLflow names is kept, and so are checkpoints until the model is published."""

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

import assets.publication
from assets.alignment import ASSETS
from assets.partitions import CAMPAIGN
from assets.publication import Step
from assets.trained import tracked
from tests.factories import synthetic_episode, synthetic_lake
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.home import checkpoint_directory
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.materializations import latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.tracking.client import client


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


def test_checkpoints_stay_until_the_model_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    lake = synthetic_lake(tmp_path / "home" / "lake")
    often = campaigns.make_variant("test", {"execution.checkpoint_seconds": 1e-6}, "often")
    publish(lake, replace(latest(lake)["raw_episodes", "demo", ""], campaign=often), Commit("run", "raw_episodes"))
    checkpoints = checkpoint_directory(Step(GRAPH["judge"], often, "", lake, "run").fingerprint)

    def no_room(*_: object) -> None:
        raise UserError("no room to write table materializations")

    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, [often])

        def made() -> bool:
            judge = dg.AssetSelection.assets("judge")
            return dg.materialize(
                ASSETS, selection=judge, instance=instance, partition_key=often, raise_on_error=False
            ).success

        with monkeypatch.context() as patch:
            patch.setattr(assets.publication, "publish", no_room)
            assert not made()
        assert list(checkpoints.iterdir())
        assert made() and not checkpoints.exists()
    assert lake.open("models").count_rows("kind = 'judge'") == 1

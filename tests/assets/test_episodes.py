"""Episode sets: what is told of a set is counted over its members."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.episodes import demonstrations, episode_content
from assets.publication import Step
from tests.factories import synthetic_episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import episode_rows, set_members, write_episodes
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.quality.recording import Recording


def test_retracted_episodes_are_neither_members_nor_counted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    ids = write_episodes(lake, [synthetic_episode(seed) for seed in range(3)], Commit("run", "demonstrations"))
    retract_episodes(lake, ids[:1], "gripper stuck")
    step = Step(GRAPH["demonstrations"], "test", "", lake, "run")
    content = episode_content(step, Recording(episode_rows(lake, ids).to_dicts(), [], 24))
    assert set(set_members(lake, content.data_version)) == set(ids[1:])
    assert content.details == {"episodes": 2, "successes": 2, "steps": 16}
    assert content.metadata["dagster/row_count"] == 2 and content.real_steps == 24


def test_an_expert_without_the_time_it_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    (tmp_path / "campaigns").mkdir()
    short = {"campaign": "test", "set": {"scene.max_steps": 8, "demonstrations.per_task": 1}}
    (tmp_path / "campaigns" / "short.yaml").write_text(yaml.safe_dump(short))
    step = Step(GRAPH["demonstrations"], "short", "", Lake(tmp_path / "lake"), "run")
    with pytest.raises(dg.Failure, match=r"PushCube-v1 succeeded 0 times in 4; it may need \d+ actions, .* is 8"):
        demonstrations(step)

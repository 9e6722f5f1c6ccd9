"""Episode sets: what is told of a set is counted over its members."""

from pathlib import Path

from assets.episodes import episode_content
from assets.publication import Step
from tests.factories import synthetic_episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import episode_rows, set_members, write_episodes
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH
from worldvla.sim.recording import Recording


def test_retracted_episodes_are_neither_members_nor_counted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    ids = write_episodes(lake, [synthetic_episode(seed) for seed in range(3)], Commit("run", "demonstrations"))
    retract_episodes(lake, ids[:1], "gripper stuck")
    step = Step(GRAPH["demonstrations"], "test", "", lake, "run")
    content = episode_content(step, Recording(episode_rows(lake, ids).to_dicts(), [], 24))
    assert set(set_members(lake, content.data_version)) == set(ids[1:])
    assert content.details == {"episodes": 2, "successes": 2, "steps": 16}
    assert content.metadata["dagster/row_count"] == 2 and content.real_steps == 24

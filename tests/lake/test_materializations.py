from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.factories import synthetic_episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes, write_set
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.models import write_model
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.recall import find

COMMIT = Commit("run", "demonstrations", "demo")
RECORD = Materialization(
    asset="demonstrations",
    campaign="demo",
    iteration="",
    data_version="v",
    code_version="1",
    config_digest="seed:1",
    parents={"raw_episodes": "r"},
    fingerprint="f",
    run_id="run",
    details={"counts": [{"label": "success", "episodes": 3}]},
    blocking_failure=None,
    materialized_at=datetime(2026, 11, 1, tzinfo=UTC),
    seconds=1.5,
    real_steps=10,
    imagined_steps=0,
    tables={"episodes": 3},
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_a_record_comes_back_as_it_was(lake: Lake) -> None:
    publish(lake, RECORD, COMMIT)
    assert latest(lake) == {RECORD.node: RECORD}


def test_the_newest_record_of_a_node_is_current_whatever_the_order_written(lake: Lake) -> None:
    newer = replace(RECORD, data_version="w", materialized_at=RECORD.materialized_at + timedelta(hours=1))
    elsewhere = replace(RECORD, campaign="other", blocking_failure="gate")
    for record in (newer, elsewhere, RECORD):
        publish(lake, record, COMMIT)
    assert latest(lake) == {newer.node: newer, elsewhere.node: elsewhere}


def test_find_passes_over_sets_that_are_no_longer_whole(lake: Lake) -> None:
    ids = write_episodes(lake, [synthetic_episode(seed) for seed in range(3)], COMMIT)
    older = replace(RECORD, data_version=write_set(lake, ids[:2], COMMIT))
    newer = replace(
        RECORD, data_version=write_set(lake, ids, COMMIT), materialized_at=RECORD.materialized_at + timedelta(1)
    )
    publish(lake, older, COMMIT)
    publish(lake, newer, COMMIT)
    assert find(lake, "f") == newer
    assert find(lake, "g") is None
    lake.delete("episodes", f"episode_id = '{ids[2]}'")
    assert find(lake, "f") == older
    retract_episodes(lake, [ids[0]], "bad")
    assert find(lake, "f") is None


def test_find_wants_the_model_to_be_there(lake: Lake) -> None:
    model_id = write_model(lake, "judge", {}, b"w", {}, {}, None, None, COMMIT)
    publish(lake, replace(RECORD, asset="judge", data_version=model_id), COMMIT)
    assert find(lake, "f") is not None
    lake.delete("models", f"model_id = '{model_id}'")
    assert find(lake, "f") is None


def test_find_wants_all_rows_of_sans_and_their_episodes(lake: Lake) -> None:
    ids = write_episodes(lake, [synthetic_episode(seed) for seed in range(2)], COMMIT)
    lake.insert("sans", [{"sans_version": "v", "episode_id": one} for one in ids], COMMIT)
    publish(lake, replace(RECORD, asset="sans", iteration="0000", details={"rows": 2}), COMMIT)
    assert find(lake, "f") is not None
    publish(lake, replace(RECORD, asset="sans", iteration="0001", details={"rows": 3}, fingerprint="g"), COMMIT)
    assert find(lake, "g") is None
    retract_episodes(lake, [ids[0]], "bad")
    assert find(lake, "f") is None

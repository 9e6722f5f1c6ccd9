"""Bytes in, the same episode out; a release holds, is recorded, and makes stale what was made without the record."""

from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from tests.planner import lakes
from tests.quality import damage
from worldvla import campaigns
from worldvla.episodes.packing import pack, unpack
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.episodes import existing, write_set
from worldvla.lake.materializations import Materialization, publish
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH
from worldvla.planner.recall import find
from worldvla.quality import quarantine
from worldvla.quality.admission import admit, judge_again

COMMIT = Commit("run", "demonstrations", "test", "")
RELEASE = Commit("", "release")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.mark.parametrize("name", damage.ERRORS)
def test_packing_loses_nothing(name):
    episode = damage.ERRORS[name]()
    back = unpack(pack(episode))
    assert back.episode_id == episode.episode_id and back.images == episode.images
    for array in ("proprio", "actions", "reward", "progress", "initial_state", "timestamps"):
        np.testing.assert_array_equal(getattr(back, array), getattr(episode, array))
    assert (back.settings, back.source, back.seed) == (episode.settings, episode.source, episode.seed)
    assert pack(back) == pack(episode)


def test_bytes_that_are_no_episode():
    whole = pack(damage.sound())
    for data in (b"", b"nothing", whole[:100], whole[:-50], b"\x80\x04\x95"):
        with pytest.raises(ValueError, match="no packed episode"):
            unpack(data)


def test_damaged_bytes_are_noticed(lake):
    bad = damage.black()
    admit(lake, [bad], COMMIT)
    row = lake.frame("quarantine", lake.open("quarantine").schema.names).to_dicts()[0]
    lake.delete("quarantine", "true")
    lake.insert("quarantine", [row | {"payload": pack(damage.sound())}], COMMIT)
    with pytest.raises(UserError, match="damaged"):
        quarantine.record_bytes(lake, bad.episode_id)


def test_a_release_lets_the_record_in_as_it_is_and_holds(lake):
    bad, other = damage.black(), damage.truncated()
    admit(lake, [bad, other], COMMIT)
    record = quarantine.find(lake, bad.episode_id[:8])
    assert quarantine.release(lake, record, "the lamp went out on purpose", "ada", RELEASE) == []
    assert existing(lake, [bad.episode_id, other.episode_id]) == {bad.episode_id}
    (row,) = lake.frame("quarantine_releases").to_dicts()
    assert (row["record_id"], row["rule"], row["reason"]) == (
        bad.episode_id,
        "black_frames",
        "the lamp went out on purpose",
    )
    assert row["released_by"] == "ada" and row["released_at"] is not None
    assert quarantine.find(lake, bad.episode_id).status == "released"
    assert admit(lake, [bad, other], COMMIT).admitted == [bad.episode_id]
    assert judge_again(lake, [bad.episode_id, other.episode_id], COMMIT).refused == [other.episode_id]
    with pytest.raises(UserError, match="nothing holds it back"):
        quarantine.release(lake, quarantine.find(lake, bad.episode_id), "again", "ada", RELEASE)


def test_a_release_needs_a_reason_and_something_to_write(lake):
    wrong = damage.ERRORS["arrays_disagree"]()
    admit(lake, [wrong, damage.black()], COMMIT)
    with pytest.raises(UserError, match="say why"):
        quarantine.release(lake, quarantine.find(lake, damage.black().episode_id), "  ", "ada", RELEASE)
    with pytest.raises(UserError, match="cannot be written as frames"):
        quarantine.release(lake, quarantine.find(lake, wrong.episode_id), "because", "ada", RELEASE)
    with pytest.raises(UserError, match="names 2 records"):
        quarantine.find(lake, "")
    with pytest.raises(UserError, match="no quarantined record"):
        quarantine.find(lake, "zz")
    assert existing(lake, [wrong.episode_id, damage.black().episode_id]) == set()


def test_an_interrupted_release_is_completed_by_the_next(lake, monkeypatch):
    bad = damage.black()
    admit(lake, [bad], COMMIT)
    insert = Lake.insert

    def dies(self, table, rows, commit):
        if table == "quarantine_releases":
            raise KeyboardInterrupt
        return insert(self, table, rows, commit)

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "insert", dies)
        with pytest.raises(KeyboardInterrupt):
            quarantine.release(lake, quarantine.find(lake, bad.episode_id), "fine", "ada", RELEASE)
    assert quarantine.find(lake, bad.episode_id).status == "quarantined"
    assert judge_again(lake, [bad.episode_id], COMMIT).refused == [bad.episode_id]
    quarantine.release(lake, quarantine.find(lake, bad.episode_id), "fine", "ada", RELEASE)
    assert judge_again(lake, [bad.episode_id], COMMIT).admitted == [bad.episode_id]
    assert lake.open("episodes").count_rows() == 1


def published(lake: Lake, refused: list[str], ids: list[str]) -> Materialization:
    config = config_digest(GRAPH["demonstrations"], campaigns.load("test"))
    record = Materialization(
        asset="demonstrations",
        campaign="test",
        iteration="",
        data_version=write_set(lake, ids, COMMIT),
        code_version=GRAPH["demonstrations"].code_version,
        config_digest=config,
        parents={},
        fingerprint=digest("demonstrations"),
        run_id="run",
        details={"quarantined": refused},
    )
    publish(lake, record, COMMIT)
    return record


def test_a_release_makes_the_sets_without_it_stale_until_they_are_made_anew(lake):
    good, bad = damage.sound(), damage.black()
    verdicts = admit(lake, [good, bad], COMMIT)
    published(lake, verdicts.refused, verdicts.admitted)
    assert ("demonstrations", "") not in lakes.not_fresh(lake)
    assert find(lake, digest("demonstrations")) is not None
    nodes = quarantine.release(lake, quarantine.find(lake, bad.episode_id), "fine", "ada", RELEASE)
    assert nodes == ["demonstrations/test/"]
    assert find(lake, digest("demonstrations")) is None
    reason = lakes.not_fresh(lake)["demonstrations", ""]
    assert "released from quarantine" in reason and bad.episode_id in reason
    verdicts = judge_again(lake, [good.episode_id, bad.episode_id], COMMIT)
    record = published(lake, verdicts.refused, verdicts.admitted)
    assert ("demonstrations", "") not in lakes.not_fresh(lake)
    assert find(lake, digest("demonstrations")).data_version == record.data_version


def test_a_release_while_a_set_is_made_without_the_record_makes_it_stale(lake):
    good, bad = damage.sound(), damage.black()
    verdicts = admit(lake, [good, bad], COMMIT)
    assert quarantine.release(lake, quarantine.find(lake, bad.episode_id), "fine", "ada", RELEASE) == []
    published(lake, verdicts.refused, verdicts.admitted)
    assert bad.episode_id in lakes.not_fresh(lake)["demonstrations", ""]
    verdicts = judge_again(lake, [good.episode_id, bad.episode_id], COMMIT)
    published(lake, verdicts.refused, verdicts.admitted)
    assert ("demonstrations", "") not in lakes.not_fresh(lake)


def test_a_lake_from_before_a_column_takes_new_rows(lake):
    """An older lake has frames without timestamps."""
    table = TABLES["frames"]
    older = pa.schema([field for field in table.schema if field.name != "timestamp"])
    lance.write_dataset(table.arrow([{"episode_id": "old", "step": 0}]).select(older.names), lake.path("frames"))
    admit(lake, [damage.clocked()], COMMIT)
    times = lake.frame("frames", ["episode_id", "timestamp"])
    assert times.filter(episode_id="old")["timestamp"].to_list() == [None]
    assert times.filter(episode_id=damage.clocked().episode_id)["timestamp"].null_count() == 0

"""Any audit over the tables as they were on the night of an iteration."""

from datetime import timedelta
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from benchmarks.audit_lake import CAMPAIGN, build
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.query import connect, run_audit
from worldvla.lake.read_once import ReadOnce
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.lake.time_travel import versions_at

COMMIT = Commit("run", "test")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three iterations: 200 raw episodes, then 66 rollouts in each."""
    lake = Lake(tmp_path / "lake")
    build(lake, episodes=400, iterations=3)
    return lake


def rows(lake: Lake, as_of: str | None = None) -> dict[str, int]:
    answer = run_audit(lake, "tables", {}, as_of)
    return dict(zip(answer["table_name"], answer["rows"], strict=True))


def test_every_table_stands_as_it_stood_that_night(lake: Lake) -> None:
    assert [rows(lake, f"{CAMPAIGN}/{night}")["episodes"] for night in range(3)] == [266, 332, 398]
    assert rows(lake, "demo/0000")["models"] == 7 and rows(lake)["models"] == 11
    # The record of an iteration is written after it has looked.
    assert "iterations" not in rows(lake, "demo/0") and rows(lake, "demo/1")["iterations"] == 1
    told = run_audit(lake, "tables", {}, "demo/1").to_dicts()
    written = {row["table_name"]: (row["asset"], row["iteration"], row["run_id"]) for row in told}
    assert written["episodes"] == ("policy_rollouts", "0001", "run")
    assert written["sans"] == ("sans", "0001", "run")
    assert {row["table_name"]: row["version"] for row in told} == versions_at(lake, "demo/0001")
    assert all(row["written_at"] is not None for row in told)


def test_an_audit_of_the_past_does_not_see_what_came_later(lake: Lake) -> None:
    before = run_audit(lake, "failures_that_trained", {"model": "demo/1"}).to_dicts()
    progress = run_audit(lake, "loop_progress", {"campaign": "demo"}).to_dicts()
    [model] = {
        one
        for (one,) in connect(lake)
        .sql("SELECT model_id FROM model_nodes WHERE iteration = '0002' AND kind = 'world_model'")
        .fetchall()
    }
    gone = before[0]["episode_id"]
    retract_episodes(lake, [gone], "bad")
    lake.delete("episodes", f"episode_id = '{gone}'")
    lake.delete("sans", "true")
    assert run_audit(lake, "failures_that_trained", {"model": "demo/1"}).to_dicts() != before
    assert run_audit(lake, "failures_that_trained", {"model": "demo/1"}, "demo/2").to_dicts() == before
    assert run_audit(lake, "loop_progress", {"campaign": "demo"}, "demo/1").to_dicts() == progress[:2]
    assert run_audit(lake, "retracted", {}).height == 1 and run_audit(lake, "retracted", {}, "demo/2").is_empty()
    with pytest.raises(UserError, match="no world_model .* begins with"):
        run_audit(lake, "training_set", {"model": model}, "demo/1")
    with pytest.raises(UserError, match="published as 'demo/2'"):
        run_audit(lake, "training_set", {"model": "demo/2"}, "demo/1")


def test_a_night_that_was_cleaned_up_is_named(lake: Lake) -> None:
    lake.append("episode_sets", lake.read("episode_sets").slice(0, 1), COMMIT)
    lake.open("episode_sets").cleanup_old_versions(older_than=timedelta(0))
    version = versions_at(lake, "demo/1")["episode_sets"]
    with pytest.raises(UserError, match=f"version {version} of table episode_sets is gone"):
        rows(lake, "demo/1")
    # What does not read that table still answers.
    assert len(run_audit(lake, "protocols", {}, "demo/1")) == 3


def test_a_table_older_than_a_column_has_nothing_in_it(lake: Lake) -> None:
    path = lake.path("retractions")
    old = pa.table({"episode_id": pa.array(["x"]), "retracted_at": pa.nulls(1, pa.timestamp("us", "UTC"))})
    lance.write_dataset(old, path, mode="create")
    for sql in ("select episode_id, reason from retractions", "select * exclude retracted_at from retractions"):
        assert connect(lake, sql).sql(sql).fetchall() == [("x", None)]
    assert connect(lake).sql("select typeof(reason) from retractions").fetchall() == [("VARCHAR",)]
    [row] = run_audit(lake, "retracted", {}).to_dicts()
    assert (row["episode_id"], row["reason"]) == ("x", None)


@pytest.mark.parametrize(
    "place", ["demo", "", "/", "demo/", "/1", "demo/x", "demo/²", "demo/-1", "demo/1/2", "other/1"]
)
def test_a_place_that_is_no_night_is_refused(lake: Lake, place: str) -> None:
    with pytest.raises(UserError, match="--as-of"):
        rows(lake, place)


def test_an_empty_lake_has_no_night(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is none yet"):
        rows(Lake(tmp_path / "none"), "demo/0")
    assert not (tmp_path / "none").exists()


def test_columns_are_read_once_and_only_those_that_are_asked_for(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[list[str]] = []
    original = lance.LanceDataset.to_table
    monkeypatch.setattr(
        lance.LanceDataset, "to_table", lambda self, columns: reads.append(columns) or original(self, columns=columns)
    )
    sql = "select count(*) from materializations as a join materializations as b using (asset) where a.iteration = $i"
    shared = connect(lake, sql)
    assert shared.sql(sql, params={"i": "0001"}).fetchall() == shared.sql(sql, params={"i": "0001"}).fetchall()
    read = [name for columns in reads for name in columns]
    assert sorted(read) == ["asset", "iteration"]
    scanner = ReadOnce(lake.open("materializations"), ["asset", "campaign"]).scanner(columns=[])
    assert scanner.count_rows() == lake.open("materializations").count_rows()

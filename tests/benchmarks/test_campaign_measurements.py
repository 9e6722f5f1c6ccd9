"""Measurements of campaigns outlive the homes they were made in, as long as they are of today's code and settings."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.campaign_evidence import gather
from benchmarks.campaign_figures import hour_figures, policy_figures, world_model_figures
from benchmarks.campaign_runs import protocol
from benchmarks.interaction_table import interaction
from tests.benchmarks.lakes import run_fresh
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH

PUSH, LIFT = "PushCube-v1", "LiftPegUpright-v1"
ONE, OTHER = "two-tasks-seed-0", "two-tasks-seed-1"
PLAN = {ONE: 2, OTHER: 2}
BASE = {PUSH: 8, LIFT: 8}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Both iterations of one seed."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    run_fresh(lake, ONE, 2, BASE, {"0000": {PUSH: 15, LIFT: 9}, "0001": {PUSH: 18, LIFT: 12}})
    return lake


def test_a_home_that_is_gone_is_reported_as_it_was(lake: Lake, tmp_path: Path) -> None:
    there, gone = gather(lake, PLAN, tmp_path), gather(None, PLAN, tmp_path)
    assert gone.measured == there.measured and gone.measured[ONE].evaluations["0001"].new[PUSH, 900_017]
    assert policy_figures(gone, ONE, {}) == policy_figures(there, ONE, {}) != []
    assert world_model_figures(gone, ONE) == world_model_figures(there, ONE) != []
    assert hour_figures(gone, ONE) == hour_figures(there, ONE) != []
    assert interaction(gone) == interaction(there)
    told, was = protocol(gone), protocol(there)
    assert told.pop("missing") == [f"{OTHER}: nothing kept"] and was.pop("missing")
    assert told == was and told["measured"][ONE]["commit"]


def test_homes_of_several_machines_make_one_report(lake: Lake, tmp_path: Path) -> None:
    gather(lake, PLAN, tmp_path)
    elsewhere = Lake(tmp_path / "elsewhere")
    run_fresh(elsewhere, OTHER, 1, BASE, {"0000": {PUSH: 10, LIFT: 8}})
    both = gather(elsewhere, PLAN, tmp_path)
    assert [len(both.evaluations(name)) for name in PLAN] == [2, 1]
    assert not any(one.campaign == ONE for one in both.missing)
    assert any(str(one).startswith(f"{OTHER} 0001 evaluation: missing") for one in both.missing)


def test_a_home_that_is_not_as_far_replaces_nothing(lake: Lake, tmp_path: Path) -> None:
    whole = gather(lake, PLAN, tmp_path).measured[ONE]
    begun = Lake(tmp_path / "begun")
    run_fresh(begun, ONE, 1, BASE, {"0000": {PUSH: 2, LIFT: 2}})
    assert gather(begun, PLAN, tmp_path).measured[ONE] == whole
    # Where less was kept than is wanted, that is what is missing.
    first = {"evaluations": {"0000": whole.evaluations["0000"]}, "closed": [], "alignments": {}}
    (tmp_path / f"{ONE}.json").write_text(whole.model_copy(update=first).model_dump_json())
    missing = list(map(str, gather(None, {ONE: 2}, tmp_path).missing))
    assert [one.partition(":")[0] for one in missing] == [
        f"{ONE} 0000 alignment",
        f"{ONE} 0000 iteration_record",
        f"{ONE} 0001 alignment",
        f"{ONE} 0001 evaluation",
        f"{ONE} 0001 iteration_record",
    ]
    # And the home that has more takes its place.
    assert gather(lake, PLAN, tmp_path).measured[ONE] == whole


def test_of_two_homes_that_measured_as_much_the_first_is_reported(lake: Lake, tmp_path: Path) -> None:
    whole = gather(lake, PLAN, tmp_path).measured[ONE]
    other = Lake(tmp_path / "other")
    run_fresh(other, ONE, 2, BASE, {"0000": {PUSH: 2, LIFT: 2}, "0001": {PUSH: 2, LIFT: 2}})
    seen = gather(other, PLAN, tmp_path)
    assert seen.measured[ONE] == whole
    assert any(f"remove what is kept ({tmp_path / ONE}.json)" in str(one) for one in seen.missing)


def test_to_publish_anew_what_is_there_takes_no_hours_away(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    run_fresh(lake, ONE, 1, BASE, {"0000": {PUSH: 15, LIFT: 9}})
    before = gather(lake, {ONE: 1}, tmp_path / "a").measured[ONE].seconds
    record = latest(lake)["evaluation", ONE, "0000"]
    again = replace(record, seconds=2.0, materialized_at=datetime.now(UTC))
    publish(lake, again, Commit("run", "evaluation", ONE, "0000"))
    assert latest(lake)["evaluation", ONE, "0000"].seconds == 2.0
    assert gather(lake, {ONE: 1}, tmp_path / "b").measured[ONE].seconds == before
    assert before["evaluation 0000"] == 1800.0


def test_what_was_measured_before_a_change_counts_no_more(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(lake, PLAN, tmp_path)
    code = GRAPH["judge"].code_version
    with monkeypatch.context() as patch:
        patch.setitem(GRAPH, "judge", replace(GRAPH["judge"], code_version="next"))
        seen = gather(None, PLAN, tmp_path)
        assert seen.measured == {}
        assert any(str(one).endswith(f"a change: code version of judge: {code} -> next") for one in seen.missing)
    config = campaigns.load(ONE)
    changed = config.model_copy(update={"rl": config.rl.model_copy(update={"updates": 99})})
    monkeypatch.setattr(campaigns, "load", lambda name: changed)
    assert any(str(one).endswith("a change: settings of rl_policy") for one in gather(None, PLAN, tmp_path).missing)


def test_what_is_stale_where_it_was_measured_counts_no_more(lake: Lake, tmp_path: Path) -> None:
    gather(lake, PLAN, tmp_path)
    record = latest(lake)["sans", ONE, "0000"]
    other = replace(record, data_version="other", materialized_at=datetime.now(UTC))
    publish(lake, other, Commit("run", "sans", ONE, "0000"))
    try:
        seen = gather(lake, PLAN, tmp_path)
        assert ONE not in seen.measured
        assert any("alignment 0000 is stale in this home" in str(one) for one in seen.missing)
    finally:
        publish(lake, replace(record, materialized_at=datetime.now(UTC)), Commit("run", "sans", ONE, "0000"))
    # Another home knows nothing of it.
    assert gather(None, PLAN, tmp_path).measured[ONE].extent == 6


def test_what_is_reported_again_keeps_its_date(lake: Lake, tmp_path: Path) -> None:
    first = gather(lake, PLAN, tmp_path).measured[ONE]
    path = tmp_path / f"{ONE}.json"
    path.write_text(first.model_copy(update={"date": "2026-01-01", "commit": "then"}).model_dump_json())
    again = gather(lake, PLAN, tmp_path).measured[ONE]
    assert (again.date, again.commit) == ("2026-01-01", "then") and again.same(first)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda fields: fields.pop("commit"), "commit: Field required"),
        (lambda fields: fields["evaluations"]["0000"].update(base="?"), "evaluations.0000.base: "),
        (lambda fields: fields.update(rows=[]), "rows: Extra inputs"),
    ],
)
def test_a_damaged_file_is_named_with_its_field(lake: Lake, tmp_path: Path, damage, says: str) -> None:
    gather(lake, PLAN, tmp_path)
    path = tmp_path / f"{ONE}.json"
    damage(fields := json.loads(path.read_text()))
    path.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=f"{ONE}.json: {says}"):
        gather(None, PLAN, tmp_path)
    path.write_text('{"campaign"')
    with pytest.raises(UserError, match=f"{ONE}.json: the file: Invalid JSON"):
        gather(None, PLAN, tmp_path)

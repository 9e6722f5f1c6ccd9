"""`worldvla status` and `rematerialize --dry-run` as a person or a script asks them, on a real lake."""

import json
import sys
from pathlib import Path

import pytest

from tests.planner import lakes
from worldvla.cli.main import main
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake


@pytest.fixture(scope="module")
def retracted(tmp_path_factory) -> tuple[Path, str]:
    """A home whose lake has two iterations, one episode of the first retracted; and that episode."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(home / "lake")
    lakes.loop(lake)
    episode = set_members(lake, latest(lake)["policy_rollouts", "test", "0000"].data_version)[0]
    retract_episodes(lake, [episode], "camera moved")
    return home, episode


@pytest.fixture
def ask(retracted, monkeypatch, capsys):
    """Runs a command in this process; returns its exit status, output and messages."""
    monkeypatch.setenv("WORLDVLA_HOME", str(retracted[0]))

    def ask(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["worldvla", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
            sys.exit(0)
        return ended.value.code or 0, *capsys.readouterr()

    return ask


def rows(answer: tuple[int, str, str]) -> list[dict]:
    status, out, err = answer
    assert status == 0, err
    return json.loads(out)


def nodes(found: list[dict]) -> set[tuple[str, str | None]]:
    return {(row["asset"], row["iteration"]) for row in found if row.get("kind", "node") == "node"}


def test_status_tells_the_chain_of_causes(ask):
    [row] = rows(ask("status", "sans", "--iteration", "1", "--json"))
    assert row["cause_kind"] == "retracted"
    assert row["why"] == ("← incoming_rollouts: lost 1 retracted episode (camera moved) in policy_rollouts[0000]")
    assert row["causes"][0] == {
        "kind": "upstream",
        "asset": "sans",
        "campaign": "test",
        "iteration": "0001",
        "detail": "reads incoming_rollouts",
    }
    assert [link["asset"] for link in row["causes"]][1:] == ["incoming_rollouts"]
    status, out, _ = ask("status", "sans", "--iteration", "1", "--why")
    assert status == 0 and "← incoming_rollouts: lost 1 retracted episode" in out
    [fresh] = rows(ask("status", "demonstrations", "--json"))
    assert (fresh["causes"], fresh["cause_kind"], fresh["why"]) == ([], "", "")


def test_status_chooses_by_closure_and_cause(ask):
    above = nodes(rows(ask("status", "keyframes", "--iteration", "..0", "--upstream", "--json")))
    assert above == {
        ("keyframes", "0000"),
        ("sans", "0000"),
        ("incoming_rollouts", "0000"),
        *((asset, None) for asset in ("raw_episodes", "demonstrations", "perturbed_demonstrations")),
        *((asset, None) for asset in ("exploration_rollouts", "open_loop_replays")),
        *((asset, None) for asset in ("imported_episodes", "imported_demonstrations")),
        ("base_policy", None),
    }
    below = nodes(rows(ask("status", "policy_rollouts", "--iteration", "0", "--downstream", "--json")))
    assert ("sans", "0001") in below and ("iteration_record", "0000") in below and ("sans", "0000") not in below
    stale = rows(ask("status", "--stale", "--json"))
    assert rows(ask("status", "--only-cause", "data", "--json")) == stale != []
    assert rows(ask("status", "--only-cause", "code", "--only-cause", "missing", "--json")) == []


def test_a_dry_run_tells_costs_and_what_is_spared(ask):
    *planned, total = rows(ask("rematerialize", "--dry-run", "--explain", "--json"))
    assert {row["kind"] for row in planned} == {"node"} and total["kind"] == "total"
    assert rows(ask("rematerialize", "--dry-run", "--json")) == planned
    [first] = [row for row in planned if row["run"] == 1 and row["asset"] == "failure_rollouts"]
    assert first["certain"] and (first["past_runs"], first["past_runs_share"]) == (2, "configuration")
    assert total["planned_nodes"] == len(planned) and total["spared_nodes"] == total["stay_fresh_nodes"] > 0
    assert 0 < total["may_stay_fresh_nodes"] < len(planned)
    status, out, _ = ask("rematerialize", "--dry-run")
    assert status == 0 and "expected:" in out and "spared:" in out and "at least:" in out


def test_what_reads_something_stale_that_is_not_selected_is_reported_and_not_run(ask):
    held = rows(ask("rematerialize", "keyframes", "--iteration", "1", "--dry-run", "--explain", "--json"))
    assert [(row["kind"], row["asset"], row["waits_for"]["asset"]) for row in held] == [("held", "keyframes", "sans")]
    status, out, err = ask("rematerialize", "keyframes", "--iteration", "1")
    assert (status, out) == (0, "")
    assert "left out: keyframes of test 0001, which depends on sans of test 0001: stale and not selected" in err
    whole = rows(ask("rematerialize", "keyframes", "--iteration", "1", "--upstream", "--dry-run", "--json"))
    assert nodes(whole) == {("sans", "0001"), ("keyframes", "0001")}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("status", "sand"), "no asset sand; the assets are demonstrations"),
        (("status", "--iteration", "5-2"), "write 2-5"),
        (("status", "--iteration", "x"), "--iteration 'x': give its number"),
        (("rematerialize", "--iteration", "7"), "there is no such iteration; the newest is 0001"),
        (("rematerialize", "--only-cause", "rain"), "--only-cause rain: the causes are code, data, missing"),
        (("status", "--campaign", "nowhere"), "no campaign 'nowhere'"),
    ],
)
def test_a_mistake_is_one_clear_line(ask, arguments, message):
    status, out, err = ask(*arguments)
    assert (status, out) == (2, "") and message in err


def test_freshness_is_claimed_of_nothing_that_was_not_looked_at(ask, tmp_path, monkeypatch):
    assert "nothing of what was chosen is stale; " in ask("rematerialize", "--only-cause", "code", "--dry-run")[2]
    assert "others are stale or missing" in ask("status", "--only-cause", "code")[2]
    monkeypatch.setenv("WORLDVLA_CAMPAIGNS", str(tmp_path / "nowhere.yaml"))
    status, out, err = ask("status")
    assert (status, out) == (2, "") and "no campaign that has records can be read" in err
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "empty"))
    assert f"nothing was ever materialized in {tmp_path / 'empty' / 'lake'}" in ask("status")[2]


def test_missing_iterations_are_made_where_that_is_asked_for(ask):
    choice = ("--only-cause", "missing", "--iteration", "2")
    planned = rows(ask("rematerialize", *choice, "--dry-run", "--explain", "--json"))
    held = {(row["asset"], row["iteration"], row["waits_for"]["asset"]) for row in planned}
    assert ("sans", "0002", "policy_rollouts") in held and {row["kind"] for row in planned} == {"held"}

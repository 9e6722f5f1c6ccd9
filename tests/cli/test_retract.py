"""Withdrawing episodes in bulk: foretold by the planner, kept in bytes, taken back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.planner import lakes
from worldvla.cli.retract import retract
from worldvla.errors import UserError
from worldvla.home import lake_root
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.graph import GRAPH


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(tmp_path_factory.mktemp("home")))
        lake = Lake(Path(lake_root()))
        lakes.loop(lake)
        yield lake


@pytest.fixture
def lake(recorded: Lake) -> Iterator[Lake]:
    """A loop of two iterations without retractions; its rollouts have the seeds 300 to 303 and 310 to 313."""
    yield recorded
    recorded.delete("retractions", "true")


def call(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(retract)
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> list[dict]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def ids(lake: Lake, first: int, last: int) -> set[str]:
    return set(lake.read("episodes", ["episode_id"], f"seed >= {first} AND seed <= {last}")["episode_id"].to_pylist())


def withdrawn(lake: Lake) -> dict[str, str]:
    return dict(lake.frame("retractions", ["episode_id", "reason"]).rows())


def test_any_describes_nothing(lake: Lake) -> None:
    """Audits take `any` for no condition: alone it would withdraw every episode of every campaign."""
    for option in ("--task", "--suite", "--source", "--policy"):
        result = call(option, "any", "--reason", "x", "--yes")
        assert isinstance(result.exception, UserError) and "name episodes, or describe them" in str(result.exception)
    assert withdrawn(lake) == {}


def test_a_dry_run_foretells_what_the_retraction_then_does(lake: Lake) -> None:
    before = lake.versions()
    foretold = answer("--seeds", "300-302", "--source", "expert", "--reason", "arm recalibrated", "--dry-run")
    assert lake.versions() == before
    assert {row["episode_id"] for row in foretold if row["what"] == "episode"} == ids(lake, 300, 302)
    nodes = {(row["asset"], row["iteration"]): row["reason"] for row in foretold if row["what"] == "node"}
    assert nodes["failure_rollouts", "0000"] == "policy_rollouts lost 3 retracted episodes (arm recalibrated)"
    assert ("sans", "0001") in nodes and ("sans", "0000") not in nodes
    stale = answer("--seeds", "300-302", "--source", "expert", "--reason", "arm recalibrated", "--yes")
    assert {(row["asset"], row["iteration"]): row["reason"] for row in stale} == nodes
    assert withdrawn(lake) == dict.fromkeys(ids(lake, 300, 302), "arm recalibrated")
    assert {name: lake.version(name) for name in ("episodes", "frames")} == {
        name: before[name] for name in ("episodes", "frames")
    }


def test_undo_leaves_everything_as_it_was(lake: Lake) -> None:
    answer("--task", "PushCube-v1", "--reason", "camera moved", "--yes")
    assert len(withdrawn(lake)) == len(ids(lake, 0, 999)) and lakes.not_fresh(lake)
    foretold = answer("--seeds", "310-313", "--undo", "--dry-run")
    assert len(withdrawn(lake)) == len(ids(lake, 0, 999))
    assert {row["episode_id"] for row in foretold if row["what"] == "episode"} == ids(lake, 310, 313)
    answer("--seeds", "310-313", "--undo", "--yes")
    assert set(withdrawn(lake)) == ids(lake, 0, 303)
    assert answer("--task", "PushCube-v1", "--undo", "--yes") == []
    assert withdrawn(lake) == {} and lakes.not_fresh(lake) == {}


def test_an_earlier_reason_stays(lake: Lake) -> None:
    [one] = ids(lake, 300, 300)
    answer(one[:12], "--reason", "first")
    result = call("--seeds", "300-301", "--reason", "second", "--yes")
    assert "1 of 2 episodes were retracted before and keep their reason" in result.stderr
    [other] = ids(lake, 301, 301)
    assert withdrawn(lake) == {one: "first", other: "second"}
    again = call(one, other, "--reason", "third")
    assert again.exit_code == 0 and "2 of 2 episodes were retracted before" in again.stderr
    assert withdrawn(lake) == {one: "first", other: "second"}
    assert "1 of 1 episodes are not retracted" in call("--seeds", "302", "--undo", "--yes").stderr


def test_a_policy_or_a_night_that_turned_out_bad(lake: Lake) -> None:
    times = lake.frame("materializations", ["asset", "iteration", "materialized_at"])
    [night] = [at for asset, iteration, at in times.rows() if (asset, iteration) == ("policy_rollouts", "0001")]
    rows = answer("--after", night.isoformat(), "--dry-run")
    assert {row["seed"] for row in rows if row["what"] == "episode"} == {310, 311, 312, 313}
    rows = answer("--before", night.isoformat(), "--dry-run")
    assert {row["episode_id"] for row in rows if row["what"] == "episode"} == ids(lake, 0, 303)


def test_people_are_shown_the_first_and_the_count(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldvla.cli.retract.EPISODES_SHOWN", 1)
    result = call("--seeds", "300-303", "--dry-run")
    assert "would be retracted: 4 episodes" in result.stdout and "failure_rollouts" in result.stdout
    assert "… and 3 more; --json lists all" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "300-303"), "--reason is needed"),
        (("--seeds", "300-303", "--reason", "  "), "--reason is needed"),
        (("--reason", "bad"), "name episodes, or describe them"),
        (("00", "--task", "PushCube-v1", "--reason", "bad"), "one of the two"),
        (("--seeds", "300-303", "--reason", "bad"), "this would retract 4 episodes: look at them with --dry-run"),
        (("--seeds", "900", "--reason", "bad", "--yes"), "no episode is seeds 900"),
        (("--task", "PushCub-v1", "--reason", "bad"), "did you mean 'PushCube-v1'?"),
        (("--seeds", "1' OR '1'='1", "--reason", "bad"), "write one seed or a range"),
        (("--source", "x' OR '1'='1", "--reason", "bad"), "no episode has the source"),
        (("zz", "--reason", "bad"), "no episode has an id that begins with 'zz'"),
    ],
)
def test_a_mistake_withdraws_nothing(lake: Lake, arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert isinstance(result.exception, UserError) and message in str(result.exception)
    assert withdrawn(lake) == {}


def test_a_reason_may_hold_anything(lake: Lake) -> None:
    reason = '\'); DROP TABLE episodes; -- "x" ∎'
    answer("--seeds", "300-301", "--reason", reason, "--yes")
    assert set(withdrawn(lake).values()) == {reason}


def test_nothing_is_withdrawn_where_one_is_not_recorded(lake: Lake) -> None:
    with pytest.raises(UserError, match="the lake has no episode feedbeef"):
        retract_episodes(lake, [*ids(lake, 300, 303), "feedbeef"], "bad")
    assert withdrawn(lake) == {}


def test_what_is_stale_already_is_told_as_such(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by older code all of it stays stale for the same reason, whatever is retracted."""
    monkeypatch.setitem(GRAPH, "demonstrations", replace(GRAPH["demonstrations"], code_version="next"))
    told = call("--seeds", "0", "--dry-run")
    assert "nodes are stale already, and may read them too" in told.stderr

"""What was begun and not published: told by `worldvla status`."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.planner import lakes
from worldvla.cli.main import main
from worldvla.home import spent_file
from worldvla.lake.store import Lake
from worldvla.planner.attempts import SILENCE, Attempt, attempts
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import parent_versions, snapshot, step_fingerprint
from worldvla.training.spent import spent

ASSET = "rl_policy"
KEY = (ASSET, lakes.CAMPAIGN, "0000")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch) -> Lake:
    """One iteration whose policy was not published."""
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    lake = Lake(tmp_path / "lake")
    lakes.loop(lake, 1)
    lake.delete("materializations", f"asset = '{ASSET}'")
    return lake


@pytest.fixture
def clock(lake) -> Path:
    """Where the seconds spent on that policy are kept."""
    campaign = snapshot(lake, [lakes.CAMPAIGN]).campaigns[lakes.CAMPAIGN]
    parents = parent_versions(lake, GRAPH[ASSET], lakes.CAMPAIGN, "0000")
    return spent_file(step_fingerprint(lake, GRAPH[ASSET], campaign, "0000", parents))


def begun(lake: Lake) -> dict:
    seen = snapshot(lake, [lakes.CAMPAIGN])
    return attempts(lake, seen, seen.assess())


def test_a_computation_is_under_way_until_its_clock_stops(lake, clock):
    assert begun(lake) == {}
    with spent(clock):
        deadline = time.monotonic() + 15
        while not clock.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert begun(lake)[KEY].running
    silence(clock, "754.0")
    assert begun(lake) == {KEY: Attempt(754.0, False)}


def test_what_failed_is_not_under_way(lake, clock):
    with pytest.raises(ValueError, match="no"), spent(clock):
        raise ValueError("no")
    assert not begun(lake)[KEY].running


def test_what_was_begun_with_other_settings_is_not_told(lake, clock):
    silence(clock.with_name("0123.seconds"), "754.0")
    assert begun(lake) == {}


def test_status_tells_it_beside_the_reason(lake, clock, monkeypatch, capsys):
    silence(clock, "754.0")

    def status(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["worldvla", "status", *arguments])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capsys.readouterr()

    policy, evaluation = json.loads(status(ASSET, "evaluation", "--json")[0])
    assert policy["attempt"] == {"seconds": 754.0, "running": False} and evaluation["attempt"] is None
    out, said = status(ASSET)
    assert "never materialized; stopped after 13 min" in out
    assert said == "what stopped test: `worldvla tonight --campaign test`\n"


def silence(clock: Path, seconds: str) -> None:
    clock.parent.mkdir(exist_ok=True)
    clock.write_text(seconds)
    silent = time.time() - SILENCE - 1
    os.utime(clock, (silent, silent))

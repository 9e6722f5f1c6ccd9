"""`worldvla quarantine`, as a person and as a script use it, on a real lake."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring
from tests.quality import damage
from worldvla.cli.main import app
from worldvla.episodes.packing import unpack
from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import existing
from worldvla.lake.store import Lake
from worldvla.quality.admission import admit

BLACK, TRUNCATED = damage.black(), damage.truncated()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    lake = Lake(tmp_path / "lake")
    admit(lake, [damage.sound(), BLACK], Commit("run-1", "demonstrations", "demo", ""))
    admit(lake, [TRUNCATED], Commit("run-2", "policy_rollouts", "demo", "0001"))
    return lake


def answer(*arguments: str) -> list[dict]:
    result = CliRunner().invoke(app, ["quarantine", *arguments, "--json"])
    assert result.exit_code == 0, result.exception
    rows = json.loads(result.stdout)
    assert isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return rows


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["quarantine", *arguments])
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_records_of_an_import_say_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    path = files.libero(tmp_path / "unheard_demo.hdf5", demos=2)
    bring(Lake(tmp_path / "lake"), "libero", path, suite="libero_object", name="takes")
    rows = answer("list")
    assert {(row["import"], row["file"], row["position"]) for row in rows} == {
        ("takes", "unheard_demo.hdf5", "demo_0"),
        ("takes", "unheard_demo.hdf5", "demo_1"),
    }
    [shown] = answer("show", rows[0]["record"])
    assert shown["path"] == str(tmp_path)
    assert f"It is {rows[0]['position']} of unheard_demo.hdf5 in {tmp_path}" in refused(
        "release", rows[0]["record"], "--reason", "r"
    )


def test_list_says_where_each_record_came_from_and_filters(lake):
    rows = answer("list")
    assert [row["record"] for row in rows] == [TRUNCATED.episode_id, BLACK.episode_id]
    assert [row["rules"] for row in rows] == [["frames_missing"], ["black_frames"]]
    assert (rows[0]["asset"], rows[0]["iteration"], rows[0]["run_id"]) == ("policy_rollouts", "0001", "run-2")
    for filters, expected in (
        (("--rule", "black_frames"), [BLACK]),
        (("--iteration", "1"), [TRUNCATED]),
        (("--asset", "demonstrations", "--campaign", "demo"), [BLACK]),
        (("--task", "PushCube-v1", "--source", "expert", "--status", "quarantined"), [TRUNCATED, BLACK]),
        (("--task", "StackCube-v1"), []),
        (("--status", "released"), []),
    ):
        assert [row["record"] for row in answer("list", *filters)] == [episode.episode_id for episode in expected]
    assert "there is no rule 'dark'" in refused("list", "--rule", "dark")
    assert "none of quarantined" in refused("list", "--status", "gone")
    assert "--iteration: '0..3' is no number" in refused("list", "--iteration", "0..3")


def test_show_has_every_fact_and_writes_what_people_look_at(lake, tmp_path):
    strip, data = tmp_path / "strip.png", tmp_path / "record.safetensors"
    (row,) = answer("show", TRUNCATED.episode_id[:8], "--strip", str(strip), "--bytes", str(data))
    assert row["facts"]["frames_undecoded"] == 1 and row["facts"]["errors"] == ["frames_missing"]
    assert "declares other frames than can be decoded (frames_undecoded 1" in row["reason"]
    picture = np.asarray(Image.open(io.BytesIO(strip.read_bytes())))
    assert picture.shape[1] == 12 * 128 and picture.std() > 10
    assert unpack(data.read_bytes()).episode_id == TRUNCATED.episode_id
    result = CliRunner().invoke(app, ["quarantine", "show", BLACK.episode_id[:8]])
    assert result.exit_code == 0 and "black_frames" in result.output and "darkest_frame" in result.output
    assert "no quarantined record" in refused("show", "zz")
    assert "cannot write" in refused("show", BLACK.episode_id[:8], "--strip", str(tmp_path / "nowhere" / "a.png"))


def test_release_lets_in_and_says_who_and_why(lake):
    (row,) = answer("release", BLACK.episode_id[:8], "--reason", "lamp off on purpose", "--by", "ada")
    assert (row["status"], row["in_lake"], row["released_from"]) == ("released", True, ["black_frames"])
    assert existing(lake, [BLACK.episode_id]) == {BLACK.episode_id}
    (released,) = lake.frame("quarantine_releases").to_dicts()
    assert (released["released_by"], released["reason"]) == ("ada", "lamp off on purpose")
    assert [row["record"] for row in answer("list", "--status", "released")] == [BLACK.episode_id]
    assert "nothing holds it back" in refused("release", BLACK.episode_id[:8], "--reason", "again")
    missing = CliRunner().invoke(app, ["quarantine", "release", TRUNCATED.episode_id[:8]])
    assert missing.exit_code == 2 and existing(lake, [TRUNCATED.episode_id]) == set()


def test_a_user_without_a_name_is_asked_who_releases(lake, monkeypatch):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert refused("release", BLACK.episode_id[:8], "--reason", "lamp off").startswith("--by: ")
    assert existing(lake, [BLACK.episode_id]) == set()


def test_the_command_itself_prints_json_alone_and_a_mistake_in_one_line(lake):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "worldvla.cli.main", "quarantine", *arguments]
        return subprocess.run(command, cwd=project_root(), env=os.environ, capture_output=True, text=True)

    listed = run("list", "--json")
    assert listed.returncode == 0 and len(json.loads(listed.stdout)) == 2
    wrong = run("show", "zz")
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.startswith("error: no quarantined record")


def test_an_empty_quarantine(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    assert answer("list") == []
    assert not (tmp_path / "lake").exists()

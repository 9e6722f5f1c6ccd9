"""`worldvla doctor` as a person or a script runs it: its exit status says whether the lake is sound."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lake.published import published_lake
from worldvla.home import project_root
from worldvla.lake.store import Lake


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    return published_lake(tmp_path / "lake")


def run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "worldvla.cli.main", "doctor", *arguments]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_the_exit_status_says_whether_the_lake_is_sound(lake: Lake) -> None:
    assert run("--deep", "--json")[:2] == (0, "[]\n")

    for tag in lake.tags("sans"):
        lake.untag("sans", tag)
    status, out, err = run("--json")
    [*found] = json.loads(out)
    assert status == 1 and {(one["check"], one["severity"]) for one in found} == {("versions", "error")}
    assert "2 errors, 0 notes" in err
    status, out, _ = run("--repair", "--json")
    assert status == 0 and all(one["repaired"] for one in json.loads(out))
    assert run()[0] == 0

    victim = max((Path(lake.path("frames")) / "data").glob("*.lance"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:100])
    status, out, err = run()
    assert status == 1 and "frames" in out and "backup" in out
    assert "1 errors, 0 notes; looked at files alone" in err
    status, out, err = run("--repair", "--json")
    [finding] = json.loads(out)
    assert status == 1 and not finding["repaired"] and finding["subject"] == f"data/{victim.name}"


def test_an_unused_lake_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    status, out, err = run()
    assert (status, out) == (0, "findings: nothing\n") and "0 errors, 0 notes" in err

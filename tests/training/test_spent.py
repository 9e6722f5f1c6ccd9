"""Seconds of a computation: killed attempts count, and nothing about them stops it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worldvla.training.spent import read_spent, spent

ATTEMPT = """
import sys, time
from pathlib import Path
from worldvla.training.spent import spent
with spent(Path(sys.argv[1]), every=0.02):
    time.sleep(60)
"""


def test_a_killed_attempt_counts(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "f.seconds"
    attempt = subprocess.Popen([sys.executable, "-c", ATTEMPT, str(path)])
    deadline = time.monotonic() + 15
    while not (path.exists() and float(path.read_text()) >= 0.3) and time.monotonic() < deadline:
        time.sleep(0.02)
    attempt.send_signal(signal.SIGKILL)
    attempt.wait()
    before = float(path.read_text())
    with spent(path) as seconds:
        assert 0.3 <= before <= seconds() < before + 5


def test_a_failed_attempt_counts(tmp_path: Path) -> None:
    path = tmp_path / "f.seconds"
    with pytest.raises(ValueError, match="no"), spent(path):
        time.sleep(0.2)
        raise ValueError("no")
    assert 0.2 <= read_spent(path)[0] < 5


def test_an_attempt_says_when_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "f.seconds"
    with spent(path, every=0.01):
        time.sleep(0.1)
        assert read_spent(path)[1] is False
    seconds, ended = read_spent(path)
    assert ended and seconds >= 0.1
    with spent(path) as clock:
        assert clock() >= seconds
        time.sleep(0.1)
        assert read_spent(path)[1] is False


@pytest.mark.parametrize("text", ["", "half of a lin"])
def test_a_damaged_file_is_no_obstacle(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.seconds"
    path.write_text(text)
    with spent(path) as seconds:
        assert 0 <= seconds() < 5


def test_a_file_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with spent(tmp_path / "checkpoints" / "f.seconds", every=0.01) as seconds:
        time.sleep(0.05)
        assert 0.05 <= seconds() < 5

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from worldvla.errors import UserError
from worldvla.exchange.exporting.staging import staged
from worldvla.lake.store import Lake

# Exports, and dies by SIGKILL after the third episode.
KILLED = """
import os, signal, sys
from pathlib import Path
from worldvla.exchange.exporting.run import Video, export
from worldvla.exchange.exporting.selection import chosen, of_sans
from worldvla.lake.store import Lake
lake, seen = Lake(Path(sys.argv[1])), []
def step(name):
    seen.append(name)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
export(lake, chosen(lake, of_sans(lake, "demo/1")), sys.argv[2], Path(sys.argv[3]), Video(), step)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "set"
    with staged(target) as folder:
        (folder / "file").write_text("x")
        assert not target.exists()
    assert contents(target) == {"file": b"x"}
    assert list(target.parent.iterdir()) == [target]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"), staged(tmp_path / "set") as folder:
        (folder / "file").write_text("x")
        raise RuntimeError("broken")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    full.mkdir()
    (full / "mine").write_text("x")
    file.write_text("x")
    empty.mkdir()
    with pytest.raises(UserError, match="the folder is not empty, and nothing is overwritten"), staged(full):
        pass
    with pytest.raises(UserError, match="a file is there already"), staged(file):
        pass
    with staged(empty) as folder:
        (folder / "new").write_text("y")
    assert contents(empty) == {"new": b"y"}
    assert contents(full) == {"mine": b"x"}


def test_two_cannot_write_one_folder(tmp_path: Path) -> None:
    with staged(tmp_path / "set") as folder:
        (folder / "file").write_text("first")
        with pytest.raises(UserError, match="another export is writing it now"), staged(tmp_path / "set"):
            pass
    assert contents(tmp_path / "set") == {"file": b"first"}


def test_a_folder_whose_place_cannot_be_taken_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, long = tmp_path / "here", tmp_path / ("x" * 300)
    here.mkdir()
    monkeypatch.chdir(here)
    for target, message in ((here, "this command runs in it"), (Path("/proc/self"), "cannot|file"), (long, "too long")):
        with pytest.raises(UserError, match=message), staged(target):
            raise AssertionError("it began")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == here)
    with pytest.raises(UserError, match="a file system is mounted there.*name one inside"), staged(here):
        raise AssertionError("it began")


def test_an_empty_folder_is_taken_with_its_rights(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir(mode=0o700)
    with staged(target):
        pass
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("finished", [True, False])
def test_a_lock_on_what_another_process_renamed_or_removed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    """The other one ends between this one's opening of the folder beside and its locking it."""
    target, beside = tmp_path / "set", tmp_path / ".set.partial"
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        if finished:
            (beside / "file").write_text("theirs")
            beside.rename(target)
        else:
            beside.rmdir()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    if finished:
        with pytest.raises(UserError, match="not empty, and nothing is overwritten"), staged(target):
            raise AssertionError("it began")
        assert contents(target) == {"file": b"theirs"}
    else:
        with staged(target) as folder:
            (folder / "file").write_text("mine")
            with pytest.raises(UserError, match="another export is writing it now"), staged(target):
                pass
        assert contents(target) == {"file": b"mine"}


@pytest.mark.parametrize("format_name", ["lerobot", "hdf5"])
def test_a_killed_export_leaves_no_folder_and_is_done_anew(lake: Lake, tmp_path: Path, format_name: str) -> None:
    from tests.exchange.exporting.exported import export_sans

    arguments = [sys.executable, "-c", KILLED, str(lake.root), format_name, str(tmp_path / "set")]
    assert subprocess.run(arguments, check=False).returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == [".set.partial"]
    export_sans(lake, format_name, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    export_sans(lake, format_name, tmp_path / "undisturbed")
    again, undisturbed = contents(tmp_path / "set"), contents(tmp_path / "undisturbed")
    assert again.keys() == undisturbed.keys()
    if format_name == "lerobot":  # HDF5 files hold times
        assert again == undisturbed

"""Streaming, resuming, and what is kept of where a record came from."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import SUITE, bring, episodes, refusals
from worldvla.exchange.importing import driver, video
from worldvla.exchange.importing.driver import Asked, bring_in
from worldvla.exchange.importing.formats import open_source
from worldvla.exchange.importing.record import Unmappable
from worldvla.exchange.importing.words import Words
from worldvla.lake.episodes import read_episode
from worldvla.lake.imports import imported_episodes, imports_version, lost_imports
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake

NAME = "put_the_bowl_on_the_plate_demo.hdf5"
IMPORT = """
import resource, sys
from tests.exchange.importing.bringing import bring
from worldvla.lake.store import Lake
bring(Lake(sys.argv[1]), "libero", sys.argv[2], suite="libero_goal")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
TABLES = ("episodes", "frames", "episode_facts", "imports", "quarantine")


def started(lake: Path, path: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", IMPORT, str(lake), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def contents(root: Path) -> dict[str, list]:
    """Every row of the tables by its key, without the moment at which it was written."""
    lake = Lake(root)
    found = {}
    for name in TABLES:
        rows = lake.read(name).to_pylist() if lake.exists(name) else []
        kept = [{k: v for k, v in row.items() if not k.endswith("_at")} for row in rows]
        found[name] = sorted(json.dumps(row, sort_keys=True, default=str) for row in kept)
    return found


def test_memory_does_not_grow_with_the_dataset(tmp_path):
    """If records stayed in memory, the larger file would take 84 MiB more, as its pictures are in the file.

    The smaller one has several batches too: the first of them fill what the libraries keep for good, about 20 MiB.
    """
    peaks = []
    for demos in (100, 300):
        path = files.libero(tmp_path / str(demos) / NAME, demos=demos, steps=9, size=128)
        process = started(tmp_path / f"lake{demos}", path)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        peaks.append(int(out) / 1024)
    decoded = 200 * 9 * 128 * 128 * 3 / 2**20
    assert decoded > 84 and peaks[1] - peaks[0] < 20, (peaks, decoded)


def test_a_killed_import_goes_on_and_ends_as_if_it_had_not_been_killed(tmp_path):
    path = files.libero(tmp_path / "set" / NAME, demos=66, steps=9)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert started(whole, path).communicate(timeout=120) and contents(whole)["episodes"]
    for fraction in (1, 2):
        process = started(killed, path)
        deadline = time.monotonic() + 60
        # The first kill falls after the first batch's frames are there and, as a rule, before its row in `imports`.
        while time.monotonic() < deadline and process.poll() is None:
            there = (killed / "frames.lance" / "_versions").glob("*.manifest")
            if len(list(there)) > 1 + fraction:
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = len(Lake(killed).frame("imports")) if Lake(killed).exists("imports") else 0
    assert before < 66
    outcome = bring(Lake(killed), "libero", path, suite="libero_goal")
    assert outcome.skipped == before and outcome.imported == 66 - before
    assert contents(killed) == contents(whole)


def test_what_was_imported_is_skipped_and_what_was_added_comes_in(tmp_path):
    lake = Lake(tmp_path / "lake")
    files.libero(tmp_path / "set/a" / NAME, demos=2)
    assert bring(lake, "libero", tmp_path / "set", suite="libero_goal").imported == 2
    version = imports_version(lake, ["data"])
    again = bring(lake, "libero", tmp_path / "set", suite="libero_goal")
    assert (again.skipped, again.imported) == (2, 0) and imports_version(lake, ["data"]) == version
    files.robomimic(tmp_path / "more.hdf5")
    given = {"task": "lift", "instruction": "lift it", "success": "all"}
    assert bring(lake, "libero", tmp_path / "more.hdf5", suite="other", **given).imported == 2
    assert imports_version(lake, ["data"]) != version and len(imported_episodes(lake, ["data"])) == 4
    assert imported_episodes(lake, ["nothing"]) == imported_episodes(lake, []) == []


def test_what_the_machine_could_not_read_comes_in_when_it_is_mended(tmp_path, monkeypatch):
    """The files are the same, so the records are: only whoever asks for them again gets them."""
    lake, folder = Lake(tmp_path / "lake"), files.video_folder(tmp_path / "takes")
    read = video.pictures

    def undecodable(path, *span):
        if path.name != "take_0.mp4":
            raise Unmappable("video_undecodable", "no decoder")
        return read(path, *span)

    with monkeypatch.context() as patch:
        patch.setattr(video, "pictures", undecodable)
        assert bring(lake, "videos", folder, gripper="1:-1").imported == 1
    again = bring(lake, "videos", folder, gripper="1:-1")
    assert (again.skipped, again.imported) == (3, 0) and len(refusals(lake)) == 1
    source = open_source("videos", str(folder), SUITE, "data", Words(SUITE, None, None), {"gripper": "1:-1"}, 8)
    retried = bring_in(lake, source.archive, source.recipe, Asked(retry=True))
    assert (retried.skipped, retried.imported) == (1, 2) and refusals(lake) == {}
    assert lake.frame("imports")["unmappable"].to_list() == [None] * 3
    assert bring_in(lake, source.archive, source.recipe, Asked(retry=True)).skipped == 3


def test_what_is_said_after_a_refusal_counts(tmp_path):
    """The refusal advises to say the task: the same records with it are not the ones refused before."""
    lake = Lake(tmp_path / "lake")
    path = files.robomimic(tmp_path / "takes.hdf5")
    refused = bring(lake, "libero", path, suite="libero_goal", success="all")
    assert dict(refused.refusals) == {"task_unknown": 2}
    said = {"suite": "libero_goal", "task": "put_the_bowl_on_the_plate", "success": "all"}
    assert bring(lake, "libero", path, **said).imported == 2
    assert bring(lake, "libero", path, **said, instruction="the bowl, on the plate").imported == 2
    assert bring(lake, "libero", path, **said).skipped == 2


def test_an_episode_that_was_lost_is_imported_again(tmp_path):
    lake = Lake(tmp_path / "lake")
    path = files.libero(tmp_path / NAME, demos=2)
    bring(lake, "libero", path, suite="libero_goal")
    gone = episodes(lake)[0].episode_id
    for table in ("episodes", "frames"):
        lake.delete(table, f"episode_id = '{gone}'")
    assert bring(lake, "libero", path, suite="libero_goal").imported == 1
    assert read_episode(lake, gone).episode_id == gone


def test_a_lost_episode_that_comes_again_under_another_number_counts(tmp_path):
    """A file that sorts before it was added: its record is counted otherwise now, and so has another id."""
    lake = Lake(tmp_path / "lake")
    files.libero(tmp_path / "set/b" / NAME, demos=1)
    assert bring(lake, "libero", tmp_path / "set", suite="libero_goal").imported == 1
    for table in ("episodes", "frames"):
        lake.delete(table, "true")
    files.libero(tmp_path / "set/a" / NAME, demos=2)
    assert lost_imports(lake, ["data"])
    assert bring(lake, "libero", tmp_path / "set", suite="libero_goal").imported >= 2
    assert not lost_imports(lake, ["data"])
    assert bring(lake, "libero", tmp_path / "set", suite="libero_goal").skipped == 3


def test_an_episode_that_was_withdrawn_and_deleted_is_not_lost(tmp_path):
    lake = Lake(tmp_path / "lake")
    bring(lake, "libero", files.libero(tmp_path / NAME, demos=2), suite="libero_goal")
    gone = episodes(lake)[0].episode_id
    retract_episodes(lake, [gone], "a face in the picture")
    for table in ("episodes", "frames"):
        lake.delete(table, f"episode_id = '{gone}'")
    assert not lost_imports(lake, ["data"])


def test_what_a_newer_importer_makes_of_a_record_takes_the_olders_place(tmp_path, monkeypatch):
    lake = Lake(tmp_path / "lake")
    path = files.libero(tmp_path / NAME, demos=2)
    monkeypatch.setattr(driver, "VERSION", "9")
    assert bring(lake, "libero", path, suite="libero_goal").imported == 2
    older = imported_episodes(lake, ["data"])
    monkeypatch.setattr(driver, "VERSION", "10")
    assert bring(lake, "libero", path, suite="libero_goal").imported == 2
    newer = imported_episodes(lake, ["data"])
    assert len(newer) == 2 and not {*newer} & {*older}
    assert {read_episode(lake, one).settings["import"]["importer"] for one in newer} == {"10"}


def test_what_a_newer_importer_refuses_is_no_episode_any_more(tmp_path, monkeypatch):
    lake = Lake(tmp_path / "lake")
    path = files.libero(tmp_path / NAME, demos=2)
    monkeypatch.setattr(driver, "VERSION", "9")
    assert bring(lake, "libero", path, suite="libero_goal").imported == 2

    def refuse(record, recipe, origin):
        raise Unmappable("success_unclear", "it holds nan")

    monkeypatch.setattr(driver, "VERSION", "10")
    monkeypatch.setattr(driver, "assemble", refuse)
    assert bring(lake, "libero", path, suite="libero_goal").quarantined == 2
    assert imported_episodes(lake, ["data"]) == []


def test_where_a_record_came_from_is_kept(tmp_path):
    lake = Lake(tmp_path / "lake")
    path = files.libero(tmp_path / NAME, demos=2)
    bring(lake, "libero", path, suite="libero_goal", name="bowls")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    for episode in episodes(lake):
        origin = episode.settings["import"]
        assert (origin["file"], origin["digest"], origin["format"]) == (NAME, sha, "libero")
        [row] = [one for one in lake.frame("imports").to_dicts() if one["episode_id"] == episode.episode_id]
        assert (row["import_name"], row["record"]) == ("bowls", origin["record"])
        assert json.loads(row["files"]) == {NAME: sha} and row["path"] == str(tmp_path)
        mapping = json.loads(row["mapping"])
        assert (mapping["observed"], mapping["gripper"], mapping["actions"]) == ("after", "-1:1", "actions")


@pytest.mark.parametrize("limit", [1, 3])
def test_a_limit_takes_the_first_records(tmp_path, limit):
    from worldvla.exchange.importing.driver import Asked, bring_in
    from worldvla.exchange.importing.formats import open_source
    from worldvla.exchange.importing.words import Words

    path = files.libero(tmp_path / NAME, demos=4)
    source = open_source("libero", str(path), "libero_goal", "data", Words("libero_goal"), {}, 8)
    lake = Lake(tmp_path / "lake")
    assert bring_in(lake, source.archive, source.recipe, Asked(limit)).imported == limit
    assert [episode.seed for episode in episodes(lake)] == list(range(limit))

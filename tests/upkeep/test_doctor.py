"""The doctor on real damage: each kind is found where it is, and what is safe to mend is mended."""

import fcntl
import os
import re
import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pytest

from tests.factories import synthetic_episode
from tests.lake.published import published_lake, recorded
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import episode_rows, load_bank, load_images, write_episodes, write_set
from worldvla.lake.faults import file_sizes
from worldvla.lake.latents import encoded, write_latents
from worldvla.lake.loading import WindowLoader
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.models import has_model, write_model
from worldvla.lake.query import asking, run_audit
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.upkeep import files, references
from worldvla.upkeep.doctor import examine, repair, steps
from worldvla.upkeep.finding import Finding
from worldvla.upkeep.retention import make_plan

COMMIT = Commit("run", "demonstrations", "demo")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(published_lake(tmp_path_factory.mktemp("template") / "lake").root)


@pytest.fixture
def lake(template: Path, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(template, tmp_path / "lake"))


def home(lake: Lake) -> Path:
    return Path(lake.root).parent


def errors(lake: Lake, deep: bool = False) -> list[Finding]:
    return [finding for finding in examine(lake, home(lake), deep) if finding.severity == "error"]


def biggest(lake: Lake, table: str) -> Path:
    """The largest data file of a table."""
    return max((Path(lake.path(table)) / "data").rglob("*.lance"), key=lambda path: path.stat().st_size)


def test_a_sound_lake_has_no_finding_and_is_not_changed(lake: Lake) -> None:
    before = {table: file_sizes(lake.open(table)) for table in lake.versions()}
    calls: list[str] = []
    assert examine(lake, home(lake), True, calls.append) == []
    assert len(calls) == steps(lake, True)
    assert {table: file_sizes(lake.open(table)) for table in lake.versions()} == before


@pytest.mark.parametrize("table", ["episodes", "frames", "models", "sans", "materializations"])
def test_a_truncated_file_is_named_with_its_table(lake: Lake, table: str) -> None:
    victim = biggest(lake, table)
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    [finding] = errors(lake)
    assert (finding.check, finding.table) == ("files", table)
    assert victim.name in finding.subject and "were written" in finding.problem and "backup" in finding.fix
    with pytest.raises(UserError, match=f"table {table} cannot be read: .*{victim.name} has .* bytes") as raised:
        lake.read(table)
    assert "worldvla doctor" in str(raised.value)


def overwrite(victim: Path, count: int, at: int | None = None) -> None:
    """Changes `count` bytes in place, the last ones by default."""
    data = bytearray(victim.read_bytes())
    first = len(data) - count if at is None else at
    data[first : first + count] = bytes(255 - byte for byte in data[first : first + count])
    victim.write_bytes(data)


@pytest.mark.parametrize("count", [40, 400])
@pytest.mark.parametrize("table", ["episodes", "frames", "models", "materializations"])
def test_a_file_whose_bytes_changed_at_equal_size_is_named_with_its_table(lake: Lake, table: str, count: int) -> None:
    victim = biggest(lake, table)
    overwrite(victim, count)
    for deep in (False, True):
        [finding] = errors(lake, deep)
        assert (finding.check, finding.table) == ("files", table)
        assert (
            finding.subject == f"data/{victim.name}"
            and f"{victim} has" in finding.problem
            and "cannot be decoded; " in finding.problem
        )
        assert re.search(r"; \d+ rows lie in it", finding.problem) and "worldvla" not in finding.problem
        assert f"the whole folder {lake.path(table)} from an older backup" in finding.fix
    named = f"table {table} cannot be read: {victim} "
    with pytest.raises(UserError, match=named):
        lake.read(table)
    with pytest.raises(UserError, match=f"damaged lake: {named}"):
        make_plan(lake, [], timedelta(0))
    with pytest.raises(UserError, match=named), asking(lake) as connection:
        connection.sql(f"SELECT * FROM {table}").fetchall()


def test_an_audit_of_a_night_names_the_file_of_that_night(lake: Lake) -> None:
    victim = biggest(lake, "episodes")
    night = {"episodes": lake.version("episodes")}
    overwrite(victim, 40)
    lance.write_dataset(TABLES["episodes"].empty(), lake.path("episodes"), mode="overwrite")
    assert list(files.tables(lake)) == []
    with pytest.raises(UserError, match=f"table episodes cannot be read: {victim} "), asking(lake, None, night) as sql:
        sql.sql("SELECT * FROM episodes").fetchall()


def test_damaged_pictures_are_found_deep_and_by_who_reads_them(lake: Lake) -> None:
    victim = biggest(lake, "frames")
    data, pictures = victim.read_bytes(), lake.read("frames", ["image"])["image"].to_pylist()
    # What lies before the first picture tells where each picture ends.
    overwrite(victim, 40, min(at for at in map(data.find, pictures) if at > 0) - 40)
    assert errors(lake) == []
    [finding] = errors(lake, deep=True)
    assert (finding.check, finding.table, finding.subject) == ("files", "frames", f"data/{victim.name}")
    assert re.search(r"; 336 rows lie in it, of episode_id (\w{32}, ){2}\w{32} and 13 more$", finding.problem)
    ids = lake.frame("episodes", ["episode_id"], "length = 20")["episode_id"].to_list()
    bank = load_bank(lake, ids, None)
    for read in (
        lambda: load_bank(lake, ids, 8),
        lambda: load_images(lake, bank, np.arange(len(bank.reward)), 8),
        lambda: list(WindowLoader(lake, ids, 1, 2, 4).epoch(0)),
    ):
        with pytest.raises(UserError, match=f"table frames cannot be read: {victim} "):
            read()


def test_damaged_latents_are_mended_by_removing_their_folder(lake: Lake) -> None:
    config = {"autoencoder": {"digest": "had"}}
    write_model(lake, "judge", config, b"weights", {}, {}, None, None, COMMIT)
    ids = lake.frame("episodes", ["episode_id"])["episode_id"].to_list()[:3]
    made = {one: np.zeros((2, 4, 2, 2), np.float16) for one in ids}
    for one in ids:
        write_latents(lake, "had", {one: made[one]}, COMMIT)
    recorded(lake, "0002")
    folder = Path(lake.path("latents"))
    overwrite(biggest(lake, "latents"), 40)
    assert [finding.fix for finding in errors(lake)] == [
        f"Remove the folder {folder}: it holds only what trainings encode again"
    ]
    with pytest.raises(UserError, match=f"table latents cannot be read: .* Remove the folder {folder}"):
        encoded(lake, "had")
    shutil.rmtree(folder)
    assert errors(lake, deep=True) == [] and encoded(lake, "had") == set()
    write_latents(lake, "had", made, COMMIT)
    assert encoded(lake, "had") == set(ids) and errors(lake, deep=True) == []
    make_plan(lake, [], timedelta(0))
    assert "latents" not in run_audit(lake, "tables", {}, "demo/2")["table_name"]


def test_the_doctor_names_what_an_older_backup_of_a_table_lacks(lake: Lake) -> None:
    folder = Path(lake.path("models"))
    shutil.copytree(folder, home(lake) / "backup")
    model = write_model(lake, "judge", {}, b"later", {}, {}, None, None, COMMIT)
    node = ("judge", "later", "")
    publish(lake, Materialization(*node, model, "1", "", {}, "fingerprint", "run"), COMMIT)
    overwrite(biggest(lake, "models"), 40)
    assert [finding.check for finding in errors(lake)] == ["files"]
    shutil.rmtree(folder)
    shutil.copytree(home(lake) / "backup", folder)
    [finding] = errors(lake)
    assert (finding.check, finding.subject) == ("publications", "later/judge")
    repair(lake, [finding])
    assert node not in latest(lake) and errors(lake) == []


def test_a_damaged_deletion_file_is_named_and_not_the_rows_beside_it(lake: Lake) -> None:
    lake.delete("sans", "label = 'success'")
    victim = min((Path(lake.path("sans")) / "_deletions").iterdir())
    overwrite(victim, victim.stat().st_size, 0)
    assert [finding.subject for finding in errors(lake)] == [f"_deletions/{victim.name}"]


def test_a_missing_file_and_a_damaged_manifest_are_named(lake: Lake) -> None:
    victim = biggest(lake, "sans")
    victim.unlink()
    newest = min((Path(lake.path("episodes")) / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:40])
    found = {finding.table: finding.problem for finding in errors(lake)}
    assert victim.name in found["sans"] and "is missing" in found["sans"]
    assert newest.name in found["episodes"] and "the newest version that can be read is" in found["episodes"]


def test_a_table_that_lost_its_versions_is_damaged_and_not_empty(lake: Lake) -> None:
    """An empty one in its place would make all that is left of it files that nobody names, for --repair to remove."""
    shutil.rmtree(Path(lake.path("episodes")) / "_versions")
    assert steps(lake, deep=True) > 0
    [finding] = errors(lake)
    assert (finding.table, finding.mend) == ("episodes", None) and "holds no version" in finding.problem
    with pytest.raises(UserError, match="table episodes cannot be read: .*episodes.lance holds no version"):
        lake.read("episodes")
    assert any((Path(lake.path("episodes")) / "data").iterdir())


def test_a_model_whose_blob_is_gone_is_withdrawn_and_can_be_made_again(lake: Lake) -> None:
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    [blob] = [path for path in Path(lake.path("models")).rglob("*.blob") if path.stat().st_size > 2**19]
    blob.unlink()
    [finding] = errors(lake)
    assert (finding.check, finding.subject, finding.mend) == ("blobs", model, "withdraw")
    [mended] = repair(lake, [finding])
    assert mended.repaired and not has_model(lake, model)
    assert ("base_policy", "abandoned", "") not in latest(lake)
    assert ("demonstrations", "abandoned", "") in latest(lake)
    left = errors(lake)
    assert {finding.table for finding in left} <= {"iterations"}


def test_changed_bytes_are_found_by_their_digest_alone(lake: Lake) -> None:
    row = episode_rows(lake).row(0, named=True)
    frames = lake.read("frames", list(lake.open("frames").schema.names), f"episode_id = '{row['episode_id']}'")
    lake.delete("frames", f"episode_id = '{row['episode_id']}'")
    rows = frames.to_pylist()
    rows[3]["reward"] = 1.0 - rows[3]["reward"]
    lake.insert("frames", rows, COMMIT)
    [blob] = [path for path in Path(lake.path("models")).rglob("*.blob") if path.stat().st_size > 2**19]
    data = bytearray(blob.read_bytes())
    data[1000] ^= 255
    blob.write_bytes(data)
    assert errors(lake) == []
    found = {finding.table: finding for finding in errors(lake, deep=True)}
    assert set(found) == {"episodes", "models"}
    assert found["episodes"].subject == row["episode_id"] and "content_digest" in found["episodes"].problem
    assert found["models"].mend == "withdraw" and "is damaged" in found["models"].problem


def test_dangling_references_are_found(lake: Lake) -> None:
    episode = latest(lake)["failure_rollouts", "demo", "0000"].data_version
    member = lake.frame("episode_sets", where=f"set_version = '{episode}'")["episode_id"][0]
    lake.delete("episodes", f"episode_id = '{member}'")
    policy = latest(lake)["rl_policy", "demo", "0000"].data_version
    lake.delete("models", f"model_id = '{policy}'")
    found = errors(lake)
    named = {(finding.table, finding.subject) for finding in found if finding.check == "dangling"}
    assert {("episode_sets", member), ("episodes", policy), ("evaluations", policy), ("iterations", policy)} <= named
    [publication] = [finding for finding in found if finding.check == "publications"]
    assert publication.subject == "demo/0000/rl_policy"
    assert all(one.repaired for one in repair(lake, [publication]))
    assert ("rl_policy", "demo", "0000") not in latest(lake)


def test_what_is_published_while_the_doctor_looks_is_not_broken(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = references._keys

    def and_a_training_ends(*arguments: object) -> list:
        found = keys(*arguments)
        model = write_model(lake, "judge", {}, b"weights", {}, {}, None, None, COMMIT)
        publish(lake, replace(latest(lake)["demonstrations", "demo", ""], asset="judge", data_version=model), COMMIT)
        return found

    monkeypatch.setattr(references, "_keys", and_a_training_ends)
    assert list(references.publications(lake)) == []


def test_what_older_code_published_under_another_name_is_no_damage(lake: Lake) -> None:
    demonstrations = latest(lake)["demonstrations", "demo", ""]
    publish(lake, replace(demonstrations, asset="teleoperated_demonstrations"), COMMIT)
    assert errors(lake) == []


def test_an_episode_without_all_its_frames_is_found(lake: Lake) -> None:
    row = episode_rows(lake).row(2, named=True)
    lake.delete("frames", f"episode_id = '{row['episode_id']}' AND step > 2")
    [finding] = errors(lake, deep=True)
    assert (finding.check, finding.subject) == ("frames", row["episode_id"])
    assert f"3 frames of {row['length'] + 1}" in finding.problem and "retract" in finding.fix


def test_needed_versions_without_a_tag_are_tagged(lake: Lake) -> None:
    for table in ("episodes", "sans"):
        for tag in lake.tags(table):
            lake.untag(table, tag)
    found = errors(lake)
    assert {finding.check for finding in found} == {"versions"} and {finding.mend for finding in found} == {"tag"}
    assert {finding.table for finding in found} == {"episodes", "sans"}
    repair(lake, found)
    assert errors(lake) == []
    assert sum(tag.startswith("model-") for tag in lake.tags("episodes")) == 9


def test_a_version_that_is_gone_is_an_error_nobody_can_mend(lake: Lake) -> None:
    version = lake.tags("materializations")["iteration.demo.0000"]
    lake.untag("materializations", "iteration.demo.0000")
    lance.dataset(lake.path("materializations")).cleanup_old_versions(timedelta(0), error_if_tagged_old_versions=False)
    [finding] = errors(lake)
    assert (finding.table, finding.mend) == ("materializations", None) and f"version {version}" in finding.problem


def test_rows_that_are_there_twice_are_found(lake: Lake) -> None:
    lance.write_dataset(lake.open("evaluations").to_table().slice(0, 2), lake.path("evaluations"), mode="append")
    [finding] = errors(lake)
    assert (finding.check, finding.table) == ("doubled", "evaluations") and finding.problem.startswith("2 keys")


def test_what_a_killed_writer_left_is_a_note_and_is_removed(lake: Lake) -> None:
    orphan = Path(lake.path("frames")) / "data" / "0101.lance"
    orphan.write_bytes(bytes(5000))
    killed = synthetic_episode(77)
    write_episodes(lake, [killed], COMMIT)
    lake.delete("episodes", f"episode_id = '{killed.episode_id}'")
    partial = home(lake) / "checkpoints" / "f" / "dynamics.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(10))
    os.utime(partial, (time.time() - 7200,) * 2)
    found = examine(lake, home(lake))
    assert {(one.severity, one.check, one.table) for one in found} == {
        ("note", "orphaned files", "frames"),
        ("note", "orphaned rows", "frames"),
        ("note", "leftovers", ""),
    }
    ids = lake.frame("episodes", ["episode_id"])["episode_id"].to_list()
    assert [one.check for one in repair(lake, found) if one.repaired] == ["orphaned files", "leftovers"]
    assert not orphan.exists() and not partial.exists()
    load_bank(lake, ids, 8)
    assert [one.check for one in examine(lake, home(lake))] == ["orphaned rows"]


def test_what_a_published_computation_left_is_removed_and_what_goes_on_is_not(lake: Lake) -> None:
    published = latest(lake)["world_model", "demo", "0000"].fingerprint
    folder = home(lake) / "checkpoints"
    for name in (published, "under-way"):
        (folder / name).mkdir(parents=True)
        (folder / f"{name}.seconds").write_text("3600.0")
    assert all(one.repaired for one in repair(lake, examine(lake, home(lake))))
    assert sorted(path.name for path in folder.iterdir()) == ["under-way", "under-way.seconds"]


def test_the_lock_of_a_killed_run_is_a_note_and_that_of_a_living_one_is_not(lake: Lake) -> None:
    lock = home(lake) / "dagster" / "processes" / "run.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert examine(lake, home(lake)) == []
    [finding] = examine(lake, home(lake))
    assert (finding.check, finding.severity, finding.subject) == ("leftovers", "note", str(lock))
    os.utime(lock, (time.time() - 7200,) * 2)
    assert all(one.repaired for one in repair(lake, examine(lake, home(lake))))
    assert not lock.exists() and examine(lake, home(lake)) == []


def test_looking_at_a_lake_of_demonstrations_alone_makes_no_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    version = write_set(lake, write_episodes(lake, [synthetic_episode(1)], COMMIT), COMMIT)
    node = ("demonstrations", "demo", "")
    publish(lake, Materialization(*node, version, "1", "", {}, "fingerprint", "run"), COMMIT)
    before = sorted(tmp_path.rglob("*"))
    assert errors(lake, deep=True) == []
    make_plan(lake, [], timedelta(0))
    assert not has_model(lake, "none") and set(latest(lake)) == {node}
    assert sorted(tmp_path.rglob("*")) == before


def test_the_versions_of_a_table_are_read_once_however_many_iterations_name_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    numbers = files.version_numbers
    monkeypatch.setattr(files, "version_numbers", lambda of, table: asked.append(table) or numbers(of, table))
    assert list(files.versions(lake)) == []
    assert sorted(asked) == sorted(set(asked)) and "episodes" in asked

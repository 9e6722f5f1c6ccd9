import multiprocessing
from pathlib import Path

import pyarrow as pa
import pytest

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES

COMMIT = Commit("run-1", "evaluation", "demo", "0001", "7")


def evaluation(seed: int, success: bool = True) -> dict:
    return {"policy_id": "p", "protocol": "q", "task": "t", "seed": seed, "success": success}


def seeds(lake: Lake) -> list[int]:
    return lake.read("evaluations", ["seed"])["seed"].to_pylist()


def test_inserting_again_changes_nothing_and_makes_no_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = lake.insert("evaluations", [evaluation(1), evaluation(2)], COMMIT)
    assert lake.insert("evaluations", [evaluation(2, success=False), evaluation(1)], COMMIT) == first
    assert lake.version("evaluations") == first
    assert lake.read("evaluations", ["success"])["success"].to_pylist() == [True, True]


def test_insert_adds_only_what_is_missing_in_order_in_one_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    before = lake.insert("evaluations", [evaluation(5)], COMMIT)
    after = lake.insert("evaluations", [evaluation(seed) for seed in (9, 5, 3, 9, 7)], COMMIT)
    assert after == before + 1
    assert seeds(lake) == [5, 9, 3, 7]


def test_a_version_names_who_made_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    version = lake.insert("evaluations", [evaluation(1)], COMMIT)
    assert lake.open("evaluations").read_transaction(version).transaction_properties == COMMIT.properties()
    version = lake.upsert("iterations", [{"campaign": "demo", "iteration": "0001"}], COMMIT)
    assert lake.open("iterations").read_transaction(version).transaction_properties == COMMIT.properties()


def test_upsert_replaces_the_row_with_the_same_key(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for steps in (1, 2):
        row = {"campaign": "demo", "iteration": "0001", "real_steps": steps, "versions": {"sans": "a"}}
        lake.upsert("iterations", [row], COMMIT)
    [row] = lake.read("iterations").to_pylist()
    assert row["real_steps"] == 2
    assert row["versions"] == '{"sans":"a"}'


def test_delete_removes_rows_and_they_can_be_inserted_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [evaluation(seed) for seed in range(4)]
    lake.insert("evaluations", rows, COMMIT)
    lake.delete("evaluations", "seed = 2")
    assert seeds(lake) == [0, 1, 3]
    lake.insert("evaluations", rows, COMMIT)
    assert sorted(seeds(lake)) == [0, 1, 2, 3]


def test_a_deletion_names_who_made_it_and_one_of_nothing_makes_no_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for part in ((0, 1), (2, 3)):
        before = lake.insert("evaluations", [evaluation(seed) for seed in part], COMMIT)
    assert lake.delete("evaluations", "seed > 9", COMMIT) == before
    version = lake.delete("evaluations", "seed >= 1 AND seed <= 2", COMMIT)
    assert version == before + 1 and seeds(lake) == [0, 3]
    assert lake.open("evaluations").read_transaction(version).transaction_properties == COMMIT.properties()
    assert lake.delete("evaluations", "seed = 0 OR seed = 3", COMMIT) == version + 1 and seeds(lake) == []


def test_a_tag_stays_where_it_is_unless_it_is_moved(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = lake.insert("evaluations", [evaluation(1)], COMMIT)
    second = lake.insert("evaluations", [evaluation(2)], COMMIT)
    lake.tag("evaluations", "kept", first)
    lake.tag("evaluations", "kept", second)
    assert lake.tags("evaluations") == {"kept": first}
    lake.tag("evaluations", "kept", second, move=True)
    assert lake.tags("evaluations") == {"kept": second}
    lake.untag("evaluations", "kept")
    lake.untag("evaluations", "kept")
    assert lake.tags("evaluations") == {}


@pytest.mark.parametrize("row", [{"seed": 1, "colour": "red"}, {"policy_id": None, "seed": 1}])
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, row: dict) -> None:
    with pytest.raises(ValueError, match="colour|null"):
        Lake(tmp_path).insert("evaluations", [evaluation(1) | row], COMMIT)


def test_filters_take_quotes_as_text(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    hostile = "it's'; DROP TABLE evaluations --"
    rows = [evaluation(1) | {"policy_id": hostile}, evaluation(1)]
    lake.insert("evaluations", rows, COMMIT)
    assert lake.insert("evaluations", rows, COMMIT) == lake.version("evaluations")
    assert len(seeds(lake)) == 2


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_table_is_made_empty_with_its_declared_keys(tmp_path: Path, table) -> None:
    dataset = Lake(tmp_path).open(table.name)
    assert dataset.schema.names == table.schema.names
    assert dataset.count_rows() == 0
    declared = [
        field.name
        for field in dataset.schema
        if (field.metadata or {}).get(b"lance-schema:unenforced-primary-key") == b"true" and not field.nullable
    ]
    assert sorted(declared) == sorted(table.keys)


def test_a_table_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    (lake.path("evaluations") / "_versions").mkdir(parents=True)
    (lake.path("evaluations") / "data").mkdir()
    assert not lake.exists("evaluations")
    lake.insert("evaluations", [evaluation(1)], COMMIT)
    assert seeds(lake) == [1]


def test_long_lists_of_keys_are_compared_whole(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    ids = [f"e{number:05d}" for number in range(3000)]
    rows = pa.table(
        {"episode_id": ids, "reason": ["r"] * 3000, "retracted_at": pa.nulls(3000, pa.timestamp("us", tz="UTC"))}
    )
    lake.insert("retractions", rows.slice(0, 2000), COMMIT)
    lake.insert("retractions", rows, COMMIT)
    assert lake.read("retractions", ["episode_id"])["episode_id"].to_pylist() == ids


def insert_shared_keys(root: str, writer: int, barrier) -> None:
    lake = Lake(Path(root))
    barrier.wait()
    for batch in range(6):
        rows = [evaluation(seed, success=writer % 2 == 0) for seed in range(10 * batch, 10 * batch + 20)]
        lake.insert("evaluations", rows, COMMIT)


def test_processes_that_insert_the_same_keys_at_once_double_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    writers = [context.Process(target=insert_shared_keys, args=(str(tmp_path), writer, barrier)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert sorted(seeds(Lake(tmp_path))) == list(range(70))


def test_a_place_that_cannot_be_written_is_no_damaged_table(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where a folder belongs")
    with pytest.raises(UserError, match=f"table retractions: {tmp_path / 'lake'}.* WORLDVLA_LAKE") as raised:
        Lake(tmp_path / "lake").frame("retractions")
    assert "backup" not in str(raised.value)

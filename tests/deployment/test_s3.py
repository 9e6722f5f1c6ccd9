"""The lake in an S3-compatible store: the same promises as in a folder, also among several machines."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.deployment import servers
from tests.factories import synthetic_lake
from worldvla.errors import UserError
from worldvla.home import lake_root, project_root
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest
from worldvla.lake.models import read_model
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake
from worldvla.planner.recall import is_whole
from worldvla.tracking.client import client
from worldvla.tracking.training_run import DatasetReference, training_run

MACHINES, ROUNDS = 4, 8
COMMIT = Commit("run-7", "demonstrations", "demo", "", "3")


def _retraction(episode: str, reason: str = "bad") -> dict:
    return {"episode_id": episode, "reason": reason, "retracted_at": None}


def test_the_store_lets_one_of_many_conditional_puts_win(object_store: servers.ObjectStore) -> None:
    def put(number: int) -> bool:
        try:
            servers.client(object_store).put_object(
                Bucket=object_store.bucket, Key="contested", Body=b"%d" % number, IfNoneMatch="*"
            )
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(put, range(8))) == 1


def test_inserting_twice_adds_nothing_and_makes_no_version(on_s3: str) -> None:
    lake = Lake.default()
    assert not lake.exists("retractions")
    version = lake.insert("retractions", [_retraction("a"), _retraction("b"), _retraction("a", "again")], COMMIT)
    assert lake.insert("retractions", [_retraction("b", "other"), _retraction("a")], COMMIT) == version
    assert lake.insert("retractions", [_retraction("b"), _retraction("c")], COMMIT) == version + 1
    assert lake.frame("retractions", ["episode_id", "reason"]).rows() == [("a", "bad"), ("b", "bad"), ("c", "bad")]
    assert lake.open("retractions").get_transactions(1)[0].transaction_properties == COMMIT.properties()
    lake.tag("retractions", "kept", version)
    lake.delete("retractions", "episode_id = 'a'")
    lake.upsert("retractions", [_retraction("b", "worse")], COMMIT)
    assert sorted(lake.frame("retractions", ["episode_id", "reason"]).rows()) == [("b", "worse"), ("c", "bad")]
    assert lake.open("retractions").checkout_version("kept").count_rows() == 2
    assert lake.versions() == {"retractions": lake.version("retractions")}


def test_a_loop_in_the_store_is_whole_and_answers_audits(on_s3: str, tmp_path: Path) -> None:
    lake = synthetic_lake(lake_root())
    records = latest(lake)
    assert records and all(is_whole(lake, record) for record in records.values())
    for model in lake.frame("models", ["model_id"])["model_id"]:
        assert read_model(lake, model).weights
    local = synthetic_lake(tmp_path / "lake")
    question = {"campaign": "demo"}
    assert run_audit(lake, "loop_progress", question).equals(run_audit(local, "loop_progress", question))


def test_machines_that_insert_the_same_keys_at_once_lose_and_double_nothing(on_s3: str, tmp_path: Path) -> None:
    """Each machine has a home, so a lock of its own: only the store stands between them."""
    command = [sys.executable, str(Path(__file__).with_name("insert_together.py")), on_s3]
    machines = [
        subprocess.Popen(
            [*command, f"machine-{number}", str(ROUNDS)],
            env=os.environ | {"WORLDVLA_HOME": str(tmp_path / f"home-{number}"), "PYTHONPATH": str(project_root())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(MACHINES)
    ]
    for machine in machines:
        assert machine.stdout.readline() == "ready\n"
    for machine in machines:
        machine.stdin.write("go\n")
        machine.stdin.flush()
    for machine in machines:
        machine.communicate(timeout=120)
        assert machine.returncode == 0
    rows = Lake(on_s3).frame("retractions")
    expected = {f"shared-{number}-{item}" for number in range(ROUNDS) for item in range(3)}
    expected |= {f"machine-{machine}-{number}" for machine in range(MACHINES) for number in range(ROUNDS)}
    assert len(rows) == len(expected) and set(rows["episode_id"]) == expected
    assert rows["reason"].n_unique() == MACHINES  # they did meet: none came too late for every round


def test_a_writer_that_read_an_older_version_is_told_so(on_s3: str) -> None:
    from worldvla.lake.object_store import append_unless_changed
    from worldvla.lake.tables import TABLES

    lake = Lake.default()
    behind = lake.open("retractions")
    lake.insert("retractions", [_retraction("a")], COMMIT)
    rows = TABLES["retractions"].arrow([_retraction("a")])
    assert append_unless_changed(behind, rows, COMMIT.properties()) is None
    assert lake.open("retractions").count_rows() == 1


def test_mlflow_keeps_its_files_in_the_store(on_s3: str, object_store: servers.ObjectStore, home: Path) -> None:
    reference = DatasetReference("episodes", f"{on_s3}/episodes.lance", 3, "0123abcd", 12)
    with training_run("demo", "base_policy", "f1", {"width": 48}, reference) as run:
        run.register("demo.policy", "model-1", "base_policy", {"width": 48}, b"weights", [])
    root = os.environ["MLFLOW_DEFAULT_ARTIFACT_ROOT"]
    assert client().get_run(run.run_id).info.artifact_uri.startswith(root)
    listed = servers.client(object_store).list_objects_v2(Bucket=object_store.bucket, Prefix=root.rpartition("/")[2])
    assert any(item["Key"].endswith("weights.safetensors") for item in listed["Contents"])
    assert not list(home.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_SECRET_ACCESS_KEY", "not-the-key", "SignatureDoesNotMatch"),
        ("WORLDVLA_LAKE", "s3://no-such-bucket/lake", "NoSuchBucket"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "error sending request"),
        ("AWS_ALLOW_HTTP", "", "AWS_ALLOW_HTTP=true"),
        ("WORLDVLA_LAKE", "s3://key:s3-secret-in-address@bucket/lake", "keys go into AWS_ACCESS_KEY_ID"),
        ("WORLDVLA_LAKE", "s3://lakes/../other", "must be s3://bucket/prefix"),
        ("WORLDVLA_LAKE", "gs://lakes/a", "must be s3://bucket/prefix"),
        ("WORLDVLA_LAKE", "s3://lakes/a\nb", "must be s3://bucket/prefix"),
    ],
)
def test_a_store_that_refuses_is_one_line_without_secrets(
    on_s3: str, object_store: servers.ObjectStore, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError) as caught:
        Lake.default().read("episodes")
    text = str(caught.value)
    assert said in text and "\n" not in text
    assert object_store.secret not in text and "s3-secret" not in text and "not-the-key" not in text


def test_no_secret_is_written_to_the_home(
    on_s3: str, object_store: servers.ObjectStore, home: Path, leaked: Callable[[Path, str], list[Path]]
) -> None:
    Lake.default().insert("retractions", [_retraction("a")], COMMIT)
    assert list((home / "locks").rglob("retractions.lock"))
    assert leaked(home, object_store.secret) == []

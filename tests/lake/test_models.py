from pathlib import Path

import numpy as np
import pytest

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.models import has_model, read_model, write_membership, write_model
from worldvla.lake.store import Lake

COMMIT = Commit("run", "world_model", "demo", "0000")


def write(lake: Lake, weights: bytes, config: dict | None = None) -> str:
    parents, metrics = {"pretrained_world_model": "a" * 32}, {"loss": 0.25}
    config = config or {"width": 8}
    return write_model(lake, "world_model", config, weights, parents, metrics, "mlflow", None, COMMIT)


@pytest.mark.parametrize("size", [0, 10, 100_000, 3_000_000])
def test_a_model_comes_back_as_it_was(tmp_path: Path, size: int) -> None:
    lake = Lake(tmp_path)
    weights = np.random.default_rng(0).bytes(size)
    write(lake, b"another")
    model = read_model(lake, write(lake, weights))
    assert model.weights == weights
    assert (model.kind, model.config, model.metrics) == ("world_model", {"width": 8}, {"loss": 0.25})
    assert model.parents == {"pretrained_world_model": "a" * 32}
    assert (model.mlflow_run_id, model.mlflow_model) == ("mlflow", None)


def test_the_same_model_is_kept_once_and_any_difference_is_another(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    model_id = write(lake, b"weights")
    version = lake.version("models")
    assert write(lake, b"weights") == model_id
    assert lake.version("models") == version
    assert len({model_id, write(lake, b"weightz"), write(lake, b"weights", {"width": 9})}) == 3


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert not has_model(lake, "unheard")
    with pytest.raises(UserError, match="unheard"):
        read_model(lake, "unheard")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_weights_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    lake = Lake(tmp_path)
    model_id = write(lake, np.random.default_rng(0).bytes(200_000))
    [payload] = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 100_000]
    data = bytearray(payload.read_bytes())
    if damage == "flip":
        data[100_000] ^= 255
        payload.write_bytes(data)
    elif damage == "truncate":
        payload.write_bytes(data[:150_000])
    else:
        payload.unlink()
    with pytest.raises(UserError, match=f"{model_id} is damaged"):
        read_model(Lake(tmp_path), model_id)


def test_membership_says_what_trained_a_model_and_where_it_was_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for _ in range(2):
        write_membership(lake, "m", ["e1", "e2"], ["success", "failure"], "s", COMMIT)
    rows = lake.read("training_membership").to_pylist()
    version = lake.version("episodes")
    assert rows == [
        {"model_id": "m", "episode_id": e, "label": label, "set_version": "s", "lance_version": version}
        for e, label in (("e1", "success"), ("e2", "failure"))
    ]


def test_the_version_a_training_read_is_tagged(tmp_path):
    lake = Lake(tmp_path)
    first = lake.version("episodes")
    for _ in range(2):
        write_membership(lake, "m1", ["e1"], ["success"], "v", Commit("run", "world_model"))
    lake.insert("episodes", [{"episode_id": "e1"}], Commit("run", "demonstrations"))
    assert lake.open("episodes").tags.list()["model-m1"]["version"] == first < lake.version("episodes")


def test_membership_that_was_killed_after_its_tag_names_the_tagged_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = lake.version("episodes")
    lake.tag("episodes", "model-m", first)
    lake.insert("episodes", [{"episode_id": "e1"}], COMMIT)
    write_membership(lake, "m", ["e1"], ["success"], "s", COMMIT)
    assert lake.read("training_membership", ["lance_version"])["lance_version"].to_pylist() == [first]


def test_a_row_whose_blob_is_gone_names_the_model_and_the_way_on(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    whole = write(lake, b"another" * 100_000)
    model_id = write(lake, np.random.default_rng(0).bytes(200_000))
    [blob] = [path for path in tmp_path.rglob("*.blob") if path.stat().st_size == 200_000]
    blob.unlink()
    assert has_model(lake, model_id)
    with pytest.raises(UserError, match=f"world_model {model_id} is damaged: `worldvla doctor --deep --repair`"):
        read_model(Lake(tmp_path), model_id)
    assert read_model(lake, whole).model_id == whole

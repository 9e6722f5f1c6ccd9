"""What the audits say of imported episodes: their file and record, and the models that a file trained."""

import json
from pathlib import Path

import pytest

from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring, episodes
from tests.factories import synthetic_episode
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import write_episodes
from worldvla.lake.models import write_membership, write_model
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake

COMMIT = Commit("run", "base_policy", "demo")
NAME = "put_the_bowl_on_the_plate_demo.hdf5"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Two imports, and a model trained on two of the first one's three episodes."""
    root = tmp_path_factory.mktemp("imports")
    lake = Lake(root / "lake")
    bring(lake, "libero", files.libero(root / NAME), suite="libero_goal", name="bowls")
    bring(lake, "lerobot", files.lerobot(root / "cups"), name="cups", gripper="1:-1")
    ids = [one.episode_id for one in episodes(lake) if one.actor == "bowls"][:2]
    model = write_model(lake, "base_policy", {}, b"weights", {}, {}, None, None, COMMIT)
    write_membership(lake, model, ids, ["success"] * 2, "set", COMMIT)
    write_episodes(lake, [synthetic_episode(7)], COMMIT)
    return lake


def test_an_imported_episode_names_dataset_file_record_and_mapping(lake):
    episode = next(one for one in episodes(lake) if one.actor == "cups" and one.seed == 1)
    [row] = run_audit(lake, "origin_of", {"episode": episode.episode_id[:12]}).to_dicts()
    assert (row["source"], row["import_name"], row["format"], row["record"]) == (
        "import",
        "cups",
        "lerobot",
        "episode 1",
    )
    assert row["file"] == "data/chunk-000/file-000.parquet" and Path(row["path"]).name == "cups"
    assert len(json.loads(row["files"])) == 2 and json.loads(row["mapping"])["gripper"] == "1:-1"


def test_an_episode_of_our_own_has_no_import(lake):
    episode = next(one for one in episodes(lake) if one.seed == 7)
    [row] = run_audit(lake, "origin_of", {"episode": episode.episode_id}).to_dicts()
    assert (row["source"], row["actor"], row["import_name"]) == ("expert", "expert-1", None)


def test_a_file_is_found_by_name_digest_and_import(lake):
    sha = json.loads(lake.frame("imports").filter(import_name="bowls")["files"][0])[NAME]
    for text in (NAME, sha[:12], "bowls"):
        [row] = run_audit(lake, "models_trained_on_file", {"file": text}).to_dicts()
        assert (row["kind"], row["file"], row["sha256"], row["episodes"]) == ("base_policy", NAME, sha, 2)
    assert run_audit(lake, "models_trained_on_file", {"file": "cups"}).is_empty()
    for text in (sha[:4], "nothing"):
        with pytest.raises(UserError, match=f"nothing was imported from or as '{text}'.*{NAME}"):
            run_audit(lake, "models_trained_on_file", {"file": text})

"""SANS is curated from the raw episodes that it names as read; what learns from it leaves excluded labels out."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import CAMPAIGN, ITERATION, partition_key
from assets.policy import ASSETS
from assets.publication import Step
from assets.sans import sans, sans_rows
from tests.factories import synthetic_episode, synthetic_lake
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import set_members, write_episodes, write_set
from worldvla.lake.materializations import latest, publish
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake
from worldvla.planner.fingerprints import changed_sections, config_digest
from worldvla.planner.graph import GRAPH

COMMIT = Commit("run", "demonstrations", "demo")
NOW = datetime.now(UTC)
WITHOUT = "demo-without-near-success"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    campaigns.make_variant("demo", {"curation.exclude": ["near_success"]}, WITHOUT)
    return tmp_path / "home"


def test_keyframes_of_a_campaign_without_a_label_are_its_own(home: Path) -> None:
    lake: Lake = synthetic_lake(home / "lake")
    sans = latest(lake)["sans", "demo", "0000"]
    publish(lake, replace(sans, campaign=WITHOUT), Commit("run", "sans", WITHOUT, "0000"))
    rows = lake.frame("sans", where=f"sans_version = '{sans.data_version}'")
    near = set(rows.filter(rows["label"] == "near_success")["episode_id"])
    assert near
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, ["demo", WITHOUT])
        instance.add_dynamic_partitions(ITERATION, ["0000"])
        starts = {}
        for campaign in ("demo", WITHOUT):
            key = partition_key(campaign, "0000")
            selected = dg.AssetSelection.assets("keyframes")
            assert dg.materialize(ASSETS, selection=selected, instance=instance, partition_key=key).success
            version = latest(lake)["keyframes", campaign, "0000"].data_version
            starts[campaign] = set(lake.frame("keyframes", where=f"keyframes_version = '{version}'")["episode_id"])
    assert near <= starts["demo"] and starts[WITHOUT] == starts["demo"] - near


def test_excluded_labels_are_measured_by_and_neither_learned_from_nor_chosen_by(home: Path) -> None:
    lake: Lake = synthetic_lake(home / "lake")
    record = latest(lake)["sans", "demo", "0000"]
    rows = lake.frame("sans", where=f"sans_version = '{record.data_version}'").to_dicts()
    near = next(row for row in rows if row["label"] == "near_success")
    splits = ("train", "validation", "heldout")
    held = [near | {"sans_version": "split", "episode_id": split, "split": split} for split in splits]
    lake.insert("sans", held, Commit("run", "sans", WITHOUT, "0000"))
    publish(lake, replace(record, campaign=WITHOUT, data_version="split"), Commit("run", "sans", WITHOUT, "0000"))
    step = Step(GRAPH["world_model"], WITHOUT, "0000", lake, "run")
    assert [len(sans_rows(step, split)) for split in splits] == [0, 0, 1]


def test_excluded_labels_are_configuration_of_what_leaves_them_out(home: Path) -> None:
    everything, without = campaigns.load("demo"), campaigns.load(WITHOUT)
    for asset in ("world_model", "keyframes"):
        before, after = (config_digest(GRAPH[asset], campaign) for campaign in (everything, without))
        assert "curation" not in before and changed_sections(before, after) == ["curation"]


def test_sets_published_after_the_raw_episodes_do_not_change_what_sans_holds(home: Path) -> None:
    lake: Lake = synthetic_lake(home / "lake")
    records = latest(lake)
    demonstrations, raw = records["demonstrations", "demo", ""], records["raw_episodes", "demo", ""]
    nothing = write_set(lake, [], COMMIT)
    publish(lake, replace(demonstrations, asset="imported_episodes", data_version=nothing), COMMIT)

    def republish(ids: list[str]) -> None:
        publish(lake, replace(demonstrations, data_version=write_set(lake, ids, COMMIT), materialized_at=NOW), COMMIT)

    def curated() -> set[str]:
        version = sans(Step(GRAPH["sans"], "demo", "0000", lake, "run")).data_version
        return set(lake.frame("sans", ["episode_id"], f"sans_version = '{version}'")["episode_id"])

    members = set_members(lake, demonstrations.data_version)
    republish([*members, *write_episodes(lake, [synthetic_episode(77)], COMMIT)])
    assert curated() == set(set_members(lake, raw.data_version))
    republish(members[1:])
    with pytest.raises(UserError, match="1 episodes of raw_episodes are in none"):
        curated()


@pytest.mark.parametrize("asset", ["policy_rollouts", "raw_episodes"])
def test_what_is_withdrawn_while_sans_is_curated_is_not_published_as_read(home: Path, asset: str) -> None:
    """What came back is read through the back edge, under another name."""
    lake: Lake = synthetic_lake(home / "lake")
    step = Step(GRAPH["sans"], "demo", "0001", lake, "run")
    iteration = "0000" if asset == "policy_rollouts" else None
    assert step.fingerprint and step.members(asset, iteration)
    retract_episodes(lake, step.members(asset, iteration)[:1], "gripper stuck")
    with pytest.raises(UserError, match=f"episodes of {asset} were retracted or brought back meanwhile"):
        step.members(asset, iteration)

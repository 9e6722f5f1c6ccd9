"""What learns from SANS where a campaign excludes labels: nothing that another campaign made of all of them."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import CAMPAIGN, ITERATION, partition_key
from assets.policy import ASSETS
from tests.factories import synthetic_lake
from worldvla import campaigns
from worldvla.lake.commit import Commit
from worldvla.lake.materializations import latest, publish
from worldvla.lake.store import Lake
from worldvla.planner.fingerprints import changed_sections, config_digest
from worldvla.planner.graph import GRAPH

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


def test_excluded_labels_are_configuration_of_what_leaves_them_out(home: Path) -> None:
    everything, without = campaigns.load("demo"), campaigns.load(WITHOUT)
    for asset in ("world_model", "keyframes"):
        before, after = (config_digest(GRAPH[asset], campaign) for campaign in (everything, without))
        assert "curation" not in before and changed_sections(before, after) == ["curation"]

"""Imports as Dagster assets: a campaign that lists one gets its episodes, and its successes to imitate."""

from datetime import timedelta

import dagster as dg
import pytest

from assets.imports import ASSETS
from assets.partitions import CAMPAIGN
from tests.exchange.importing import files
from tests.exchange.importing.bringing import bring
from tests.factories import synthetic_lake
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.lake.episodes import episode_rows, set_members
from worldvla.lake.materializations import latest
from worldvla.lake.store import Lake
from worldvla.locks import nobody_at_work
from worldvla.planner.observe import snapshot
from worldvla.quality.admission import judge_again
from worldvla.upkeep.retention import apply, make_plan

VARIANT = "with-takes"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path / "home"))
    return tmp_path


def materialized(instance: dg.DagsterInstance) -> dict[str, list[dict]]:
    """The rows of the members of both assets after one run."""
    result = dg.materialize(ASSETS, instance=instance, partition_key=VARIANT, raise_on_error=False)
    if not result.success:
        return {"failures": [event.step_failure_data.error.message for event in result.get_step_failure_events()]}
    lake = Lake.default()
    found = {asset: record.data_version for (asset, _, _), record in latest(lake).items()}
    return {asset: episode_rows(lake, set_members(lake, version)).to_dicts() for asset, version in found.items()}


def test_an_asset_holds_the_lake_while_it_is_made(home, monkeypatch):
    monkeypatch.setattr("worldvla.locks.PATIENCE_SECONDS", 0.1)
    campaigns.make_variant("test", {"imports": ["takes"]}, VARIANT)
    bring(Lake.default(), "videos", files.video_folder(home / "takes"), name="takes", gripper="1:-1")
    held = []

    def watched(*arguments):
        with pytest.raises(UserError, match="is being written to"), nobody_at_work():
            raise AssertionError("somebody looked after the lake meanwhile")
        held.append(arguments)
        return judge_again(*arguments)

    monkeypatch.setattr("assets.imports.judge_again", watched)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, [VARIANT])
        assert len(materialized(instance)["imported_episodes"]) == 3
    assert held
    with nobody_at_work():
        pass


def test_listed_imports_become_episodes_and_their_successes_demonstrations(home):
    settings = {"imports": ["takes"], "imported_demonstrations": ["takes"]}
    campaigns.make_variant("test", settings, VARIANT)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, [VARIANT])
        assert any("nothing was imported as takes" in one for one in materialized(instance)["failures"])
        folder = files.video_folder(home / "takes")
        bring(Lake.default(), "videos", folder, name="takes", gripper="1:-1")
        first = materialized(instance)
        assert len(first["imported_episodes"]) == 3 and len(first["imported_demonstrations"]) == 2
        assert all(row["success"] for row in first["imported_demonstrations"])
        states = {state.asset: state for state in snapshot(Lake.default(), [VARIANT]).assess()}
        assert states["imported_episodes"].state == states["imported_demonstrations"].state == "fresh"
        bring(
            Lake.default(),
            "videos",
            files.video_folder(home / "more", videos=1, steps=25),
            name="takes",
            gripper="1:-1",
        )
        states = {state.asset: state for state in snapshot(Lake.default(), [VARIANT]).assess()}
        assert states["imported_episodes"].reason.startswith("1 episode was imported since")
        assert len(materialized(instance)["imported_episodes"]) == 4


def test_an_import_of_another_chunk_is_refused_by_name(home):
    campaigns.make_variant("test", {"imports": ["takes"]}, VARIANT)
    folder = files.video_folder(home / "takes", steps=14)
    bring(Lake.default(), "videos", folder, name="takes", gripper="1:-1", chunk=1)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, [VARIANT])
        [failure] = [one for one in materialized(instance)["failures"] if "chunks of 8" in one]
        assert "episodes of takes" in failure and "--chunk 8" in failure


def test_imports_that_retention_removed_are_named_and_come_in_again(home):
    campaigns.make_variant("test", {"imports": ["takes"]}, VARIANT)
    lake = synthetic_lake(home / "home" / "lake")
    folder = files.video_folder(home / "takes")
    bring(lake, "videos", folder, name="takes", gripper="1:-1")
    apply(lake, make_plan(lake, [], timedelta(0)))
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(CAMPAIGN, [VARIANT])
        [failure] = materialized(instance)["failures"]
        assert f"3 of takes ({folder})" in failure and "worldvla import" in failure
        bring(lake, "videos", folder, name="takes", gripper="1:-1")
        result = dg.materialize(ASSETS, instance=instance, partition_key=VARIANT)
        assert result.success
    record = latest(lake)["imported_episodes", VARIANT, ""]
    assert len(set_members(lake, record.data_version)) == 3

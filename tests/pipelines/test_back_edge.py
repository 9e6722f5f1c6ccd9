"""The back edge on Dagster itself: which ways of reporting new feedback reach staleness and automation.

Dagster allows no cycle between assets, so `policy_rollouts` of iteration t reports to
`incoming_rollouts` of iteration t + 1. Only an observation of an observable source asset is
seen by both mechanisms; were that to change, the design could be simpler.
"""

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

PARTITIONS = dg.StaticPartitionsDefinition(["0000", "0001"])
KEY = "0001"
VERSION_TAG = "dagster/data_version"


def observable_source():
    @dg.observable_source_asset(name="incoming", partitions_def=PARTITIONS)
    def incoming():
        return dg.DataVersionsByPartition({})

    return incoming


def plain_spec():
    return dg.AssetSpec("incoming", partitions_def=PARTITIONS)


def observation(version: str):
    return dg.AssetObservation("incoming", partition=KEY, tags={VERSION_TAG: version})


def materialization(version: str):
    return dg.AssetMaterialization("incoming", partition=KEY, tags={VERSION_TAG: version})


@pytest.mark.parametrize(
    ("source", "event", "seen_by_staleness", "seen_by_automation"),
    [
        (observable_source, observation, True, True),
        (observable_source, materialization, False, False),
        (plain_spec, observation, True, False),
        (plain_spec, materialization, False, True),
    ],
)
def test_what_reports_feedback(source, event, seen_by_staleness, seen_by_automation):
    @dg.asset(
        partitions_def=PARTITIONS,
        deps=["incoming"],
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled(),
    )
    def sans():
        return dg.MaterializeResult(data_version=dg.DataVersion("sans"))

    defs = dg.Definitions(assets=[source(), sans])
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(event("before"))
        job = defs.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(
            instance=instance, partition_key=KEY, asset_selection=[dg.AssetKey("sans")]
        ).success
        first = dg.evaluate_automation_conditions(defs, instance)

        instance.report_runless_asset_event(event("after"))

        resolver = CachingStaleStatusResolver(
            instance, defs.resolve_asset_graph(), loading_context=LoadingContextForTest(instance)
        )
        causes = [cause.reason for cause in resolver.get_stale_causes(dg.AssetKey("sans"), KEY)]
        assert bool(causes) is seen_by_staleness, causes
        second = dg.evaluate_automation_conditions(defs, instance, cursor=first.cursor)
        assert (second.get_num_requested(dg.AssetKey("sans")) == 1) is seen_by_automation

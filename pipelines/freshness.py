"""Freshness of partitions: each campaign's newest iteration must not be older than it promises.

Dagster 1.13 evaluates a `FreshnessPolicy` of a partitioned asset by its newest materialization
in any partition: with ten campaigns, one that stands still hides behind nine that run. Nor
does it keep a second verdict, outside a run, for one partition of a check. So the promise is
kept here: `nightly.fresh_hours` and the lake give every (campaign, iteration) its verdict, and
the check `on_time` of `iteration_record` passes when all do, with one row a partition. The
asset carries Dagster's own policy beside it, for what that can say: some campaign moved lately.
"""

import json
from datetime import timedelta

import dagster as dg

from pipelines import clock
from pipelines.jobs import ON_TIME
from pipelines.notices import tell
from worldvla.config import Nightly
from worldvla.lake.store import Lake
from worldvla.notifications.notification import Notification
from worldvla.planner.nightly import RECORD, Overdue, overdue, settings_of_all

DESCRIPTION = "The newest iteration of every campaign with `nightly.enabled` is at most `nightly.fresh_hours` old."


@dg.asset_check(asset=RECORD, name=ON_TIME.name, description=DESCRIPTION)
def on_time() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(**_verdict(verdicts(settings_of_all()[0])))


@dg.sensor(
    name="freshness_of_campaigns",
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives the check `on_time` its verdict when it changes, and tells who is overdue.",
)
def freshness_of_campaigns(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """The cursor remembers the verdict of each campaign's newest iteration, also while its settings cannot be read."""
    before = json.loads(context.cursor or "{}")
    readable, broken = settings_of_all()
    found = verdicts(readable)
    after = {name: verdict for name, verdict in before.items() if name in broken}
    after |= {one.campaign: [one.iteration, one.on_time] for one in found}
    if after == before:
        return dg.SkipReason("no verdict changed")
    for one in found:
        if not one.on_time and before.get(one.campaign) != after[one.campaign]:
            tell(context.log, readable[one.campaign].notify, notification(one))
    evaluation = dg.AssetCheckEvaluation(asset_key=ON_TIME.asset_key, check_name=ON_TIME.name, **_verdict(found))
    return dg.SensorResult(asset_events=[evaluation], cursor=json.dumps(after))


def verdicts(readable: dict[str, Nightly]) -> list[Overdue]:
    """Of the newest iteration of every campaign that promises one."""
    lake, now = Lake.default(), clock.now()
    found = [overdue(lake, campaign, settings, now) for campaign, settings in readable.items() if settings.enabled]
    return [one for one in found if one is not None]


def notification(found: Overdue) -> Notification:
    command = f"worldvla loop --campaign {found.campaign} --iterations {int(found.iteration) + 2}"
    return Notification("overdue", found.campaign, found.iteration, found.reason, command)


def with_freshness_policy(assets: list) -> list:
    """The assets, with Dagster's own policy on `iteration_record`, by the strictest promise of an enabled campaign."""
    readable, _ = settings_of_all()
    hours = [settings.fresh_hours for settings in readable.values() if settings.enabled and settings.fresh_hours]
    if not hours:
        return assets
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=min(hours)))
    return [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(freshness_policy=policy))
        if isinstance(asset, dg.AssetsDefinition) and ON_TIME.asset_key in asset.keys
        else asset
        for asset in assets
    ]


def _verdict(found: list[Overdue]) -> dict:
    """The fields of the check's outcome, with one row a partition."""
    late = [f"{one.campaign} {one.iteration}: {one.reason}" for one in found if not one.on_time]
    rows = [
        {"campaign": one.campaign, "iteration": one.iteration, "on time": one.on_time, "reason": one.reason}
        for one in found
    ]
    table = dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) if rows else dg.MetadataValue.text("none")
    return {
        "passed": not late,
        "description": "; ".join(late) or f"{len(found)} campaigns promise a newest iteration, and all keep it",
        "severity": dg.AssetCheckSeverity.WARN,
        "metadata": {"partitions": table},
    }

"""How every asset is published: compute once, write, audit, then publish.

An asset's own module says what it computes from a `Step` and returns a `Content`. What
all of them share is here: the fingerprint that finds the same content in the lake, the
checks that run before anything is published, the one row that publishes, and what Dagster
is told. A crash before that row leaves the lake as readers see it unchanged; only
`iteration_record` writes what has readers beside it, its row of `iterations`, before.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg

from assets.checks import Check, check_specs, suite_checks
from assets.partitions import CAMPAIGN, CAMPAIGNS, ITERATION, LOOP, partition_key
from worldvla import campaigns
from worldvla.config import Campaign
from worldvla.errors import UserError
from worldvla.home import checkpoint_directory, spent_file
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import Materialization, latest, publish
from worldvla.lake.store import Lake
from worldvla.locks import at_work
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.observe import incoming_versions, parent_versions, step_fingerprint
from worldvla.planner.recall import find
from worldvla.quality.suites.suite import Scope
from worldvla.training.fusion import fusing
from worldvla.training.spent import spent


@dataclass(frozen=True)
class Content:
    """What an asset made: the digest of it, facts for the lake, pictures and tables for people."""

    data_version: str
    details: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, dg.MetadataValue] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    real_steps: int = 0
    imagined_steps: int = 0


@dataclass(frozen=True)
class Step:
    """One asset of one campaign and iteration, about to be computed."""

    node: Node
    campaign: str
    iteration: str
    lake: Lake
    run_id: str

    @cached_property
    def config(self) -> Campaign:
        return campaigns.load(self.campaign)

    @cached_property
    def records(self) -> dict[tuple[str, str, str], Materialization]:
        """The newest record of every node of the lake, as it stood when the step began."""
        return latest(self.lake)

    @cached_property
    def parents(self) -> dict[str, str]:
        """Each parent's data version."""
        return self._read_now()

    @cached_property
    def fingerprint(self) -> str:
        return step_fingerprint(self.lake, self.node, self.config, self.iteration, self.parents)

    @property
    def commit(self) -> Commit:
        return Commit(self.run_id, self.node.name, self.campaign, self.iteration, self.node.code_version)

    @property
    def checkpoints(self) -> Any:
        """Where this step's training keeps what it needs to resume."""
        from worldvla.training.checkpoint import Checkpointer

        return Checkpointer(checkpoint_directory(self.fingerprint), self.config.execution.checkpoint_seconds)

    def record(self, asset: str, iteration: str | None = None) -> Materialization:
        """The newest record of an asset of this campaign, in this iteration where it has iterations."""
        scope = (self.iteration if iteration is None else iteration) if GRAPH[asset].scope == "iteration" else ""
        try:
            return self.records[(asset, self.campaign, scope)]
        except KeyError:
            where = f"{self.campaign} {scope}".strip()
            raise UserError(
                f"{asset} of {where} was never materialized; run `worldvla loop --campaign {self.campaign}`"
            ) from None

    def details(self, asset: str) -> dict[str, Any]:
        """What an asset of this campaign and iteration says beside its content. Raises `UserError` where other code
        said it, perhaps in another form."""
        record, now = self.record(asset), GRAPH[asset].code_version
        if record.code_version != now:
            raise UserError(
                f"{asset} of {f'{self.campaign} {self.iteration}'.strip()} was made by code version "
                f"{record.code_version} and is read by {now}: run `worldvla rematerialize --campaign {self.campaign}`"
            )
        return record.details

    def scope(self, content: Content) -> Scope:
        """What the suites of this step's tables are run over."""
        node, version = self.node.name, content.data_version
        return Scope(node, self.campaign, self.iteration, version, self.config, tuple(GRAPH), dict(self.parents))

    def members(self, asset: str, iteration: str | None = None) -> list[str]:
        """The episodes of an asset that holds episodes, without those retracted.

        Raises `UserError` where one of a parent's was retracted, or brought back, since the step began, or one of what
        a parent stands for by a back edge: what is made of them would be published as made of others.
        """
        members = set_members(self.lake, self.record(asset, iteration).data_version)
        through = next((one for one in self.parents if asset in (one, GRAPH[one].feedback_from)), None)
        if through and self._read_now()[through] != self.parents[through]:
            raise UserError(
                f"episodes of {asset} were retracted or brought back meanwhile: give the same command again"
            )
        return members

    def _read_now(self) -> dict[str, str]:
        """What `parents` would be, had the step begun now."""
        return parent_versions(self.lake, self.node, self.campaign, self.iteration, self.records)


def loop_asset(
    compute: Callable[[Step], Content], checks: Sequence[str] = (), recalled: bool = True
) -> dg.AssetsDefinition:
    """The Dagster asset of the node that `compute` is named after, with its own checks and those of its tables.

    `recalled`: whether content that was computed before stands for it; not where `compute` keeps something of
    the campaign itself: its rows, its champion.
    """
    node = GRAPH[compute.__name__]

    @dg.asset(
        name=node.name,
        deps=list(node.parents),
        partitions_def=CAMPAIGNS if node.scope == "campaign" else LOOP,
        code_version=node.code_version,
        pool=node.pool,
        group_name=node.scope,
        kinds={"lance"},
        description=compute.__doc__,
        check_specs=check_specs(node.name, checks),
        # A worker that dies or a lake that is busy is worth another try; a training resumes where it stopped.
        retry_policy=dg.RetryPolicy(max_retries=1, delay=5),
    )
    def asset(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult | dg.AssetObservation]:
        with at_work():
            yield from _materialize(context, node, compute, recalled)

    return asset


def _materialize(
    context: dg.AssetExecutionContext, node: Node, compute: Callable[[Step], Content], recalled: bool
) -> Iterator[Any]:
    step = _step(context, node)
    try:
        found = find(step.lake, step.fingerprint) if recalled else None
        if found is not None:
            context.log.info(f"{node.name}: computed before, by run {found.run_id}")
            record, content = _again(step, found), _recall(found)
        else:
            with spent(spent_file(step.fingerprint)) as seconds:
                with fusing(step.config.execution.compile):
                    content = compute(step)
                content = replace(content, checks=(*suite_checks(step.lake, step.scope(content)), *content.checks))
            failed = [check for check in content.checks if not check.passed and not check.gate]
            if failed:
                yield from (check.result for check in content.checks)
                raise dg.Failure(
                    "; ".join(f"{check.name}: {check.description}" for check in failed), allow_retries=False
                )
            record = _record(step, content, seconds())
        publish(step.lake, record, step.commit)
        # Not before: a model that nothing publishes is found by nobody, and its training would begin anew.
        shutil.rmtree(checkpoint_directory(step.fingerprint), ignore_errors=True)
        spent_file(step.fingerprint).unlink(missing_ok=True)
        yield from _feedback(step)
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(record.data_version),
        metadata={**_common_metadata(step, record, found is not None), **content.metadata},
        check_results=[check.result for check in content.checks],
    )


def _step(context: dg.AssetExecutionContext, node: Node) -> Step:
    key = context.partition_key
    dimensions = key.keys_by_dimension if isinstance(key, dg.MultiPartitionKey) else {CAMPAIGN: key, ITERATION: ""}
    return Step(node, dimensions[CAMPAIGN], dimensions[ITERATION], Lake.default(), context.run_id)


def _record(step: Step, content: Content, seconds: float) -> Materialization:
    gates = [check.description for check in content.checks if check.gate and not check.passed]
    return Materialization(
        asset=step.node.name,
        campaign=step.campaign,
        iteration=step.iteration,
        data_version=content.data_version,
        code_version=step.node.code_version,
        config_digest=config_digest(step.node, step.config),
        parents=step.parents,
        fingerprint=step.fingerprint,
        details={**content.details, "checks": [check.record for check in content.checks]},
        blocking_failure="; ".join(gates) or None,
        run_id=step.run_id,
        materialized_at=datetime.now(UTC),
        seconds=seconds,
        real_steps=content.real_steps,
        imagined_steps=content.imagined_steps,
        tables=step.lake.versions(),
    )


def _again(step: Step, found: Materialization) -> Materialization:
    """The record that publishes, under this campaign and run, what was computed before, with the budget it took."""
    return replace(
        found,
        campaign=step.campaign,
        iteration=step.iteration,
        parents=step.parents,
        run_id=step.run_id,
        materialized_at=datetime.now(UTC),
        tables=step.lake.versions(),
    )


def _recall(found: Materialization) -> Content:
    return Content(found.data_version, found.details, checks=tuple(Check(**check) for check in found.details["checks"]))


def _feedback(step: Step) -> Iterator[dg.AssetObservation]:
    """Tells Dagster what every later iteration reads now: the edge that leads back.

    Each iteration's input extends the one before, so a change reaches them all, also those
    whose predecessor came out as it was.
    """
    for node in GRAPH.values():
        if node.feedback_from != step.node.name:
            continue
        for iteration, version in incoming_versions(step.lake, step.campaign, node.name).items():
            if int(iteration) > int(step.iteration):
                yield dg.AssetObservation(
                    asset_key=node.name,
                    partition=str(partition_key(step.campaign, iteration)),
                    tags={"dagster/data_version": version},
                )


def _common_metadata(step: Step, record: Materialization, recalled: bool) -> dict[str, Any]:
    return {
        "fingerprint": step.fingerprint,
        "computed before": recalled,
        "seconds": record.seconds,
        "real steps": record.real_steps,
        "imagined steps": record.imagined_steps,
        "lance versions": record.tables,
    }

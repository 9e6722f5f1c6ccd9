"""The version vector of an iteration: one row that names everything it was made of."""

from datetime import UTC, datetime

import dagster as dg

from assets.publication import Content, Step, loop_asset
from worldvla.lake.digests import digest
from worldvla.lake.models import KINDS, read_model
from worldvla.lake.tags import tag_iteration
from worldvla.planner.graph import GRAPH
from worldvla.tracking.champion import promote


def iteration_record(step: Step) -> Content:
    """One committed row that names every data version, table version and model of this iteration, with its budgets.
    MLflow is told who is champion now."""
    records = [step.record(parent) for parent in step.node.parents]
    own = [record for record in records if GRAPH[record.asset].scope == "iteration"]
    tables = step.lake.versions()
    row = {
        "campaign": step.campaign,
        "iteration": step.iteration,
        "versions": step.parents,
        "tables": tables,
        "models": {record.asset: record.data_version for record in records if record.asset in KINDS},
        "real_steps": sum(record.real_steps for record in own),
        "imagined_steps": sum(record.imagined_steps for record in own),
        "committed_at": datetime.now(UTC),
    }
    step.lake.upsert("iterations", [row], step.commit)
    tag_iteration(step.lake, step.campaign, step.iteration, tables)
    crown(step)
    budget = {"real_steps": row["real_steps"], "imagined_steps": row["imagined_steps"]}
    return Content(digest(step.parents), details={"versions": step.parents, **budget})


def crown(step: Step) -> None:
    """Moves the champion's alias to whom the evaluation chose, once its checks have passed; not where a later iteration
    has chosen since."""
    if any(key[:2] == ("evaluation", step.campaign) and key[2] > step.iteration for key in step.records):
        return
    chosen = step.details("evaluation")["champion"]["after"]
    promote(step.campaign, chosen, lambda: read_model(step.lake, chosen))


ASSETS: list[dg.AssetsDefinition] = [loop_asset(iteration_record, recalled=False)]

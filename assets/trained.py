"""What every training asset does around its training: track it, store the model, remember what it read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import dagster as dg
from pydantic import BaseModel

from assets.publication import Step
from worldvla.home import mlflow_place
from worldvla.lake.digests import canonical_json
from worldvla.lake.models import write_membership, write_model
from worldvla.lake.tags import tag_training
from worldvla.planner.fingerprints import settings_of
from worldvla.tracking.champion import registered_name
from worldvla.tracking.training_run import DatasetReference, TrainingRun, training_run


class Trained(Protocol):
    """Any model of the project."""

    config: dict

    def to_bytes(self) -> bytes: ...


@contextmanager
def tracked(step: Step, table: str, version: str, rows: int) -> Iterator[TrainingRun]:
    """The MLflow run of this step's training, which reads `rows` rows of `table` named by the digest `version`."""
    kept = tag_training(step.lake, table, step.fingerprint)
    reference = DatasetReference(table, step.lake.open(table).uri, kept, version, rows)
    parameters = {section: settings_of(step.config, section) for section in step.node.reads}
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in parameters.items()}
    name = f"{step.node.name} {step.iteration}".strip()
    with training_run(step.campaign, name, step.fingerprint, plain, reference) as run:
        yield run


def store(
    step: Step,
    run: TrainingRun,
    model: Trained,
    parents: dict[str, str],
    members: Sequence[tuple[str, str | None]],
    set_version: str,
) -> str:
    """Stores the model with its parents (role to model id) and its training episodes (id, label); returns its id."""
    from worldvla.training.weights import model_digest

    kind, weights = step.node.name, model.to_bytes()
    model_id = model_digest(kind, canonical_json(model.config), weights)
    name = registered_name(step.campaign) if kind.endswith("policy") else f"{step.campaign}.{kind}"
    registered = run.register(name, model_id, kind, model.config, weights, list(parents.values()))
    ids, labels = [episode for episode, _ in members], [label for _, label in members]
    write_membership(step.lake, model_id, ids, labels, set_version, step.commit)
    write_model(step.lake, kind, model.config, weights, parents, run.last, run.run_id, registered, step.commit)
    return model_id


def model_metadata(run: TrainingRun, model_id: str, rows: int) -> dict[str, dg.MetadataValue]:
    """Where a person finds the training."""
    server = mlflow_place()
    path = f"#/experiments/{run.experiment_id}/runs/{run.run_id}"
    link = (
        dg.MetadataValue.url(f"{server}/{path}")
        if server.startswith("http")
        else dg.MetadataValue.text(f"{server} {path}")
    )
    return {
        "model": dg.MetadataValue.text(model_id),
        "MLflow run": link,
        "training episodes": dg.MetadataValue.int(rows),
    }

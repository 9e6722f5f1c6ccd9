"""One MLflow run a training: parameters, metrics, the exact dataset version, the registered model.

The lake remains the source of truth for weights and lineage; MLflow is where people
compare trainings. A run that was killed leaves an MLflow run with status RUNNING; the
next attempt at the same fingerprint takes that run up again.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worldvla.home import mlflow_artifacts
from worldvla.tracking.client import client

BATCH = 200
BATCH_MILLISECONDS = 10_000
FINGERPRINT_TAG = "worldvla.fingerprint"
MODEL_TAG = "worldvla.model_id"


@dataclass(frozen=True)
class DatasetReference:
    """The exact data a training read: a Lance table at a version, and the digest of the set in it."""

    table: str
    uri: str
    version: int
    digest: str
    rows: int


@dataclass
class TrainingRun:
    """A run that is under way. `log` has the signature every trainer takes; `last` holds each metric's newest value."""

    client: Any
    run_id: str
    experiment_id: str
    last: dict[str, float] = field(default_factory=dict)
    _pending: list = field(default_factory=list)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Keeps metrics (plain floats, one or more) of a step; sent by the next step that is ten seconds later."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.last |= {name: float(value) for name, value in metrics.items()}
        self._pending += [Metric(name, float(value), now, step) for name, value in metrics.items()]
        if len(self._pending) >= BATCH or now - self._pending[0].timestamp >= BATCH_MILLISECONDS:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self.client.log_batch(self.run_id, metrics=self._pending)
            self._pending = []

    def register(self, name: str, model_id: str, kind: str, config: dict, weights: bytes, parents: list[str]) -> str:
        """Registers the trained model under `name` and returns `models:/name/version`.

        `parents` are the ids of the models that the training started from; they become inputs of the run, as far as
        this MLflow knows them: a lake may hold what was trained beside another one.
        """
        from mlflow.entities import LoggedModelInput, LoggedModelOutput

        versions = [found[0] for parent in parents if (found := versions_of(self.client, parent))]
        if versions:
            self.client.log_inputs(
                self.run_id, models=[LoggedModelInput(logged_model_id(version)) for version in versions]
            )
        logged = log_model(self.client, self.experiment_id, self.run_id, model_id, kind, config, weights)
        self.client.log_outputs(self.run_id, models=[LoggedModelOutput(logged, step=0)])
        return add_version(self.client, name, model_id, logged, self.run_id)


@contextmanager
def training_run(
    campaign: str, name: str, fingerprint: str, parameters: dict[str, Any], dataset: DatasetReference
) -> Iterator[TrainingRun]:
    """Opens the MLflow run of one training in the experiment of its campaign, and closes it with its outcome."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    tracking = client()
    experiment_id = experiment(tracking, campaign)
    unfinished = tracking.search_runs(
        [experiment_id], f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}' and attributes.status = 'RUNNING'", max_results=1
    )
    if unfinished:
        begun = unfinished[0]
    else:
        begun = tracking.create_run(experiment_id, run_name=name, tags={FINGERPRINT_TAG: fingerprint})
    run_id, last = begun.info.run_id, dict(begun.data.metrics)
    # A process may be killed between its run's beginning and what is said of it.
    if not (begun.inputs and begun.inputs.dataset_inputs):
        flat = _flatten(parameters)
        tracking.log_batch(run_id, params=[Param(key, str(value)[:6000]) for key, value in flat.items()])
        source = json.dumps({"uri": dataset.uri, "version": dataset.version})
        tracking.log_inputs(
            run_id,
            datasets=[
                DatasetInput(
                    dataset=Dataset(
                        name=dataset.table,
                        digest=dataset.digest,
                        source_type="lance",
                        source=source,
                        profile=json.dumps({"rows": dataset.rows}),
                    ),
                    tags=[InputTag("mlflow.data.context", "training")],
                )
            ],
        )
    run = TrainingRun(tracking, run_id, experiment_id, last)
    try:
        yield run
    except Exception:
        run.flush()
        tracking.set_terminated(run_id, "FAILED")
        raise
    except BaseException:  # Ctrl-C, a deadline, a termination in the UI: the training goes on where it was, in this run
        run.flush()
        raise
    run.flush()
    tracking.set_terminated(run_id, "FINISHED")


def versions_of(tracking: Any, model_id: str) -> list[Any]:
    """The registered versions, under whatever name, of the model with this id in the lake; none where it is unknown."""
    return list(tracking.search_model_versions(f"tags.`{MODEL_TAG}` = '{model_id}'"))


def log_model(
    tracking: Any, experiment_id: str, run_id: str | None, model_id: str, kind: str, config: dict, weights: bytes
) -> str:
    """Keeps a model's files in MLflow; returns the id of the logged model. `run_id`: the training's, if it is known."""
    model = tracking.create_logged_model(
        experiment_id, name=kind, source_run_id=run_id, model_type=kind, tags={MODEL_TAG: model_id}
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights.safetensors").write_bytes(weights)
        (Path(folder) / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
        tracking.log_model_artifacts(model.model_id, folder)
    tracking.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def logged_model_id(version: Any) -> str:
    """The logged model behind a registered version: its source is `models:/<id>`."""
    return version.source.removeprefix("models:/")


def add_version(tracking: Any, name: str, model_id: str, logged_model_id: str, run_id: str | None) -> str:
    """Adds a logged model to a registered name, which is made on first use."""
    from mlflow.exceptions import MlflowException

    try:
        tracking.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = tracking.create_model_version(
        name,
        source=f"models:/{logged_model_id}",
        run_id=run_id,
        model_id=logged_model_id,
        tags={MODEL_TAG: model_id},
    )
    return f"models:/{name}/{version.version}"


def experiment(tracking: Any, campaign: str) -> str:
    """The id of a campaign's experiment, which is made on first use."""
    found = tracking.get_experiment_by_name(campaign)
    if found is not None:
        return found.experiment_id
    return tracking.create_experiment(campaign, artifact_location=mlflow_artifacts())


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(_flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat

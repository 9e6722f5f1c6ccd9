"""Models in the lake: weights as blobs under a digest of their content, and what trained them."""

import json
from dataclasses import dataclass
from typing import Any

from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json
from worldvla.lake.store import Lake, quoted

KINDS = ("base_policy", "rl_policy", "autoencoder", "embodiment", "pretrained_world_model", "world_model", "judge")


@dataclass(frozen=True)
class Model:
    """One checkpoint. `weights` are safetensors bytes; `parents` maps a role to a model id."""

    model_id: str
    kind: str
    config: dict[str, Any]
    weights: bytes
    parents: dict[str, str]
    metrics: dict[str, Any]
    mlflow_run_id: str | None
    mlflow_model: str | None


def write_model(
    lake: Lake,
    kind: str,
    config: dict[str, Any],
    weights: bytes,
    parents: dict[str, str],
    metrics: dict[str, Any],
    mlflow_run_id: str | None,
    mlflow_model: str | None,
    commit: Commit,
) -> str:
    """Keeps a model and returns its id, the digest of kind, configuration and weights.

    A model that is there already is left as it is, its metrics and MLflow run included.
    """
    from worldvla.training.weights import model_digest

    model_id = model_digest(kind, canonical_json(config), weights)
    row = {
        "model_id": model_id,
        "kind": kind,
        "config": canonical_json(config),
        "weights": weights,
        "parents": canonical_json(parents),
        "metrics": canonical_json(metrics),
        "mlflow_run_id": mlflow_run_id,
        "mlflow_model": mlflow_model,
    }
    lake.insert("models", [row], commit)
    return model_id


def read_model(lake: Lake, model_id: str) -> Model:
    """The model with its weights; raises `UserError` where there is none or its bytes have changed."""
    from worldvla.training.weights import model_digest

    columns = ["kind", "config", "parents", "metrics", "mlflow_run_id", "mlflow_model"]
    with lake.reading("models") as dataset:
        found = dataset.to_table(columns=columns, filter=f"model_id = {quoted(model_id)}", with_row_id=True).to_pylist()
    if not found:
        raise UserError(f"the lake has no model {model_id}: rematerialize the asset that made it")
    row = found[0]
    damaged = UserError(
        f"the checkpoint of {row['kind']} {model_id} is damaged: `worldvla doctor --deep --repair` withdraws it, "
        "`worldvla loop` makes it again"
    )
    try:
        [(_, weights)] = dataset.read_blobs("weights", ids=[row["_rowid"]])
    except (OSError, ValueError) as error:
        raise damaged from error
    if model_digest(row["kind"], row["config"], weights) != model_id:
        raise damaged
    return Model(
        model_id=model_id,
        kind=row["kind"],
        config=json.loads(row["config"]),
        weights=bytes(weights),
        parents=json.loads(row["parents"]),
        metrics=json.loads(row["metrics"]),
        mlflow_run_id=row["mlflow_run_id"],
        mlflow_model=row["mlflow_model"],
    )


def has_model(lake: Lake, model_id: str) -> bool:
    """Whether the model's row is there."""
    return lake.read("models", ["model_id"], f"model_id = {quoted(model_id)}").num_rows > 0


def read_membership(lake: Lake, model_id: str) -> tuple[list[tuple[str, str | None]], str]:
    """The episodes that trained a model, each with its label, and the version of the set that they were read from.
    Raises `UserError` where none is on record."""
    rows = lake.read("training_membership", ["episode_id", "label", "set_version"], f"model_id = {quoted(model_id)}")
    if not rows.num_rows:
        raise UserError(f"no episode is on record that trained model {model_id}: rematerialize the asset that made it")
    members = sorted((row["episode_id"], row["label"]) for row in rows.to_pylist())
    return members, rows["set_version"][0].as_py()


def write_membership(
    lake: Lake, model_id: str, ids: list[str], labels: list[str | None], set_version: str, commit: Commit
) -> None:
    """Records which episodes, under which label, trained a model, and from which set they were read.

    The version of `episodes` that was read is tagged `model-<id>`, so no cleanup takes it away.
    """
    tag = f"model-{model_id}"
    # An earlier call that was killed may have come as far as its tag.
    version = lake.tags("episodes").get(tag) or lake.version("episodes")
    lake.tag("episodes", tag, version)
    rows = [
        {
            "model_id": model_id,
            "episode_id": episode_id,
            "label": label,
            "set_version": set_version,
            "lance_version": version,
        }
        for episode_id, label in zip(ids, labels, strict=True)
    ]
    lake.insert("training_membership", rows, commit)

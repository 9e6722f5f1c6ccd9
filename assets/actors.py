"""A policy of the lake as an actor: its weights in a file that rollout workers read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assets.publication import Step
from worldvla.config import ActionNoise
from worldvla.lake.models import read_model
from worldvla.policy.actor import PolicySpec


@contextmanager
def policy_actor(step: Step, policy_id: str, noise: ActionNoise) -> Iterator[PolicySpec]:
    """The policy with this model id, as an actor while the context is open."""
    model = read_model(step.lake, policy_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{policy_id}.safetensors"
        path.write_bytes(model.weights)
        yield PolicySpec(str(path), model.config, policy_id, noise)

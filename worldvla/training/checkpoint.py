"""Resumable training: everything a killed training needs to end at the same weights.

A checkpoint is one safetensors file, written beside and renamed over the last one, so a
kill or a power cut at any moment leaves the old or the new. Nothing is pickled: optimizer
state is flattened into named tensors. Data order and noise must be pure functions of (seed,
step), so no generator state needs saving.
"""

import json
import os
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from worldvla.errors import UserError

Tensors = dict[str, torch.Tensor]


class Checkpointer:
    """Saves named groups of tensors and a step, at most every `every_seconds` seconds.

    `directory` belongs to one training, named by its fingerprint; `stage` to one phase of
    it (autoencoder, dynamics). `every_seconds=0` saves at each call.
    """

    def __init__(self, directory: Path | None, every_seconds: float = 30.0):
        self.directory = directory
        self.every_seconds = every_seconds
        self._last = time.monotonic()

    def load(self, stage: str) -> tuple[int, dict[str, Tensors]] | None:
        """The last saved (step, groups) of a stage, or None. Raises `UserError` where the file is damaged."""
        path = self._path(stage)
        if path is None or not path.exists():
            return None
        groups: dict[str, Tensors] = {}
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                for group in json.loads(metadata["groups"]):
                    groups[group] = {}
                for key in file.keys():
                    group, name = key.split("/", 1)
                    groups[group][name] = file.get_tensor(key)
        except SafetensorError as error:
            raise UserError(
                f"checkpoint {path} is damaged ({error}): delete it, and {stage} begins anew where it is run again"
            ) from error
        return int(metadata["step"]), groups

    def save(self, stage: str, step: int, groups: dict[str, Tensors], force: bool = False) -> None:
        """Saves when due; `step` counts completed steps. `force` saves regardless of the clock."""
        path = self._path(stage)
        now = time.monotonic()
        if path is None or not (force or now - self._last >= self.every_seconds):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{group}/{name}": tensor.detach().to("cpu").contiguous().clone()
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"step": str(step), "groups": json.dumps(list(groups))})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        self._last = time.monotonic()

    def _path(self, stage: str) -> Path | None:
        return None if self.directory is None else self.directory / f"{stage}.safetensors"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """An optimizer's state as named tensors: `<parameter index>.<state name>`."""
    return {
        f"{index}.{name}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Puts back what `optimizer_tensors` took; hyperparameters stay as constructed."""
    state: dict[int, Tensors] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

"""Model weights as bytes: safetensors in, safetensors out, and the digest that names a model."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from worldvla.errors import UserError

Module = TypeVar("Module", bound=torch.nn.Module)


def to_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """Named tensors to safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def from_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """safetensors bytes to named tensors; raises `safetensors.SafetensorError` on damage."""
    return load(data)


def build(make: Callable[[dict[str, Any]], Module], config: dict[str, Any], data: bytes) -> Module:
    """The model that `make(config)` makes, with these weights, in evaluation mode.

    It is made on torch's meta device first, where tensors have shapes and no memory: a
    configuration that is none, or asks for more than the weights hold, costs nothing.
    Raises `UserError` on it, and on bytes that are not safetensors.
    """
    try:
        tensors = from_bytes(data)
    except SafetensorError as error:
        raise UserError(f"the weights of a model are not safetensors: {error}") from error
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if _largest_count(config) > len(shapes):
        raise UserError(f"a model's configuration asks for more layers than its {len(shapes)} weights can fill")
    try:
        with torch.device("meta"):
            wanted = {name: tensor.shape for name, tensor in make(config).state_dict().items()}
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"a model's configuration is not one of its kind: {type(error).__name__} {error}") from error
    if differing := sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name)):
        raise UserError(f"a model's configuration and weights disagree about {', '.join(differing[:3])}")
    model = make(config)
    model.load_state_dict(tensors)
    return model.eval()


def _largest_count(config: Any) -> int:
    """The largest number of layers that a configuration asks for: each has weights of its own."""
    if not isinstance(config, dict):
        return 0
    counts = [value for key, value in config.items() if "layers" in str(key) and isinstance(value, int)]
    return max([0, *counts, *map(_largest_count, config.values())])


def model_digest(kind: str, config: str, weights: bytes) -> str:
    """The id of a model: a digest of its kind, its canonical configuration and its weights."""
    digest = hashlib.sha256(f"{kind}\n{config}\n".encode())
    digest.update(weights)
    return digest.hexdigest()[:32]

"""Model weights as bytes: safetensors in, safetensors out, and the digest that names a model."""

import hashlib

import torch
from safetensors.torch import load, save


def to_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    """Named tensors to safetensors bytes."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def from_bytes(data: bytes) -> dict[str, torch.Tensor]:
    """safetensors bytes to named tensors; raises `safetensors.SafetensorError` on damage."""
    return load(data)


def model_digest(kind: str, config: str, weights: bytes) -> str:
    """The id of a model: a digest of its kind, its canonical configuration and its weights."""
    digest = hashlib.sha256(f"{kind}\n{config}\n".encode())
    digest.update(weights)
    return digest.hexdigest()[:32]

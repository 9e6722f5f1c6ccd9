"""Where and in which precision to compute: asked of the machine, never assumed."""

import functools
import hashlib

import torch


def device() -> torch.device:
    """The GPU when torch sees one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@functools.cache
def fast_dtype(where: torch.device | None = None) -> torch.dtype:
    """bfloat16 where the machine multiplies it faster than float32, else float32.

    On a GPU the answer is what CUDA reports; on a processor, whether it has AMX or at least AVX-512's bf16 products.
    Nothing is timed: the answer must not change between two runs on one machine.
    """
    where = where or device()
    if where.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    supported = any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return torch.bfloat16 if supported else torch.float32


def generator(seed: int, *stream: int | str) -> torch.Generator:
    """A CPU generator that is a pure function of (seed, stream): step, episode or stage names."""
    text = "/".join(map(str, (seed, *stream)))
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(value)

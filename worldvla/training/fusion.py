"""Fused kernels: torch's compiler, for the functions marked here, where a campaign asks for it (`execution.compile`).

Normalizations, activations and casts between matrix products are most of a small network's time
on a processor; compiled, they become a few passes over memory. Compiling takes up to half a
minute a function and shape, so it is for campaigns that train for longer than minutes. torch is imported
by the first function compiled, so that assets without any may say `fusing`, too.
"""

import functools
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_fusing: ContextVar[bool] = ContextVar("fusing", default=False)
logger = logging.getLogger(__name__)


def fused(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """`function`, run as kernels compiled for the shapes of its arguments inside `fusing(True)`, as it is elsewhere.

    For functions that are called often with the same shapes: every other shape is compiled anew,
    and after torch's limit of them (8) the rest runs as it is.
    """

    @functools.cache
    def compiled() -> Callable[Parameters, Result]:
        import torch

        # diffusers asks for torch's version through a cache, whose answer never changes.
        warnings.filterwarnings("ignore", "Dynamo detected a call to a `functools.lru_cache`", UserWarning)
        return torch.compile(function, dynamic=False)

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        return (compiled() if is_fusing() else function)(*args, **kwargs)

    return call


@contextmanager
def fusing(wanted: bool) -> Iterator[None]:
    """Inside, `fused` functions are compiled, if that is wanted and the machine has what torch's compiler needs."""
    if wanted and not can_fuse():
        logger.warning("execution.compile is on, but there is no C++ compiler %s; training takes longer", _compiler())
    token = _fusing.set(wanted and can_fuse())
    try:
        yield
    finally:
        _fusing.reset(token)


def can_fuse() -> bool:
    """Whether the machine has the C++ compiler that torch's needs: the one that CXX names, or g++."""
    return shutil.which(_compiler()) is not None


def is_fusing() -> bool:
    """Whether `fused` functions are compiled here: then batches had better keep their size."""
    return _fusing.get()


def _compiler() -> str:
    return os.environ.get("CXX", "g++")

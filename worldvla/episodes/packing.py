"""An episode as one string of bytes that gives back exactly the episode, damage included.

The container is safetensors: a header that is JSON, arrays with their shapes and types, and
nothing that runs when it is read. Pictures lie end to end as they were encoded.
"""

import json

import numpy as np

from worldvla.episodes.episode import Episode, Source

ARRAYS = ("proprio", "actions", "reward", "progress", "initial_state")
TEXTS = ("suite", "task", "instruction", "seed", "source", "actor", "settings")


def pack(episode: Episode) -> bytes:
    from safetensors.numpy import save

    sizes = np.array([len(image) for image in episode.images], np.int64)
    arrays = {name: np.ascontiguousarray(getattr(episode, name)) for name in ARRAYS}
    arrays |= {"images": np.frombuffer(b"".join(episode.images), np.uint8), "image_sizes": sizes}
    if episode.timestamps is not None:
        arrays["timestamps"] = np.ascontiguousarray(episode.timestamps)
    header = json.dumps({name: getattr(episode, name) for name in TEXTS}, default=_plain)
    return save(arrays, {"episode": header})


def unpack(data: bytes) -> Episode:
    """Raises `ValueError` on bytes that hold no packed episode."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["episode"])
        header["source"] = Source(header["source"])
        ends = np.cumsum(arrays.pop("image_sizes")).tolist()
        pictures = arrays.pop("images").tobytes()
        images = [pictures[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        return Episode(**header, images=images, **arrays)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"these bytes hold no packed episode: {error}") from error


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be packed")

"""Cached latents: what an autoencoder makes of an episode's frames, computed once for all trainings that read them.

A pure function of the autoencoder and the episode, so the key is the autoencoder's digest and
the episode's id. Where rows are lost, the next training that asks makes them again.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank
from worldvla.lake.store import LONGEST_IN_LIST, Lake, is_in, quoted
from worldvla.training.progress import track

# Episodes decoded, encoded and written at once: bounds the pictures in memory and what a kill loses.
ENCODED_AT_ONCE = 128
# Episodes read at once; an episode's latents are some hundred kilobytes.
READ_AT_ONCE = 64
SHAPE = ("frames", "channels", "height", "width")

# The F pictures of one episode, uint8 [F, H, W, 3], to latents float16 [F, C, h, w].
Encode = Callable[[np.ndarray], np.ndarray]


def cached_latents(
    lake: Lake, autoencoder: str, bank: FrameBank, image_size: int, encode: Encode, commit: Commit
) -> np.ndarray:
    """Latents float16 [N, C, h, w] of all frames of a bank, which needs no images; 0 of those that were not drawn.

    Episodes without latents of the autoencoder with this digest are decoded at `image_size`,
    encoded and recorded first, some at a time: a call that was interrupted goes on there.
    """
    present = encoded(lake, autoencoder)
    missing = [episode for episode in bank.episode_ids if episode not in present]
    groups = [missing[first : first + ENCODED_AT_ONCE] for first in range(0, len(missing), ENCODED_AT_ONCE)]
    for episodes in track(groups, f"latents of {len(missing)} episodes", len(groups)):
        group = load_bank(lake, episodes, image_size)
        made = [encode(group.images[group.drawn_of(index)]) for index in range(len(group))]
        write_latents(lake, autoencoder, dict(zip(group.episode_ids, made, strict=True)), commit)
    return read_latents(lake, autoencoder, bank)


def encoded(lake: Lake, autoencoder: str) -> set[str]:
    """The episodes that have latents of this autoencoder."""
    return set(lake.frame("latents", ["episode_id"], f"autoencoder = {quoted(autoencoder)}")["episode_id"])


def write_latents(lake: Lake, autoencoder: str, latents: dict[str, np.ndarray], commit: Commit) -> None:
    """Records latents float16 [F, C, h, w] by episode, in one commit; those that are there stay as they are."""
    rows = [
        {
            "autoencoder": autoencoder,
            "episode_id": episode,
            **dict(zip(SHAPE, values.shape, strict=True)),
            "latents": np.ascontiguousarray(values, "<f2").tobytes(),
        }
        for episode, values in latents.items()
    ]
    lake.insert("latents", rows, commit)


def read_latents(lake: Lake, autoencoder: str, bank: FrameBank) -> np.ndarray:
    """Latents float16 [N, C, h, w] of all frames of a bank, in its order, in one scan; 0 of those not drawn.

    Raises `UserError` naming an episode that has none, or not one for each of its pictures.
    """
    where = f"autoencoder = {quoted(autoencoder)}"
    if len(bank) <= LONGEST_IN_LIST:
        where += f" AND {is_in('episode_id', bank.episode_ids)}"
    index = {episode: position for position, episode in enumerate(bank.episode_ids)}
    latents, lacking = np.zeros((bank.frame_count, 0, 0, 0), np.float16), set(index)
    for batch in _batches(lake, where):
        names, data = batch["episode_id"].to_pylist(), batch["latents"]
        shapes = zip(*(batch[name].to_pylist() for name in SHAPE), strict=True)
        for row, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            if name not in lacking:
                continue
            if not latents.size:
                latents = np.zeros((bank.frame_count, *shape[1:]), np.float16)
            values = np.frombuffer(data[row].as_buffer(), "<f2")
            drawn = bank.drawn_of(index[name])
            if shape != (len(drawn), *latents.shape[1:]) or values.size != np.prod(shape):
                raise UserError(
                    f"the latents of episode {name} are {values.size} numbers of shape {shape}, not one picture's "
                    f"{latents.shape[1:]} for each of its {len(drawn)} pictures: delete its row of "
                    "table latents, the next training encodes it anew"
                )
            latents[drawn] = values.reshape(shape)
            lacking.remove(name)
    if lacking:
        raise UserError(f"episode {min(lacking)} and {len(lacking) - 1} more have no latents of {autoencoder}")
    return latents


def _batches(lake: Lake, where: str) -> Iterator[pa.RecordBatch]:
    """The rows for which the predicate holds, with their latents, READ_AT_ONCE at a time."""
    columns = ["episode_id", *SHAPE, "latents"]
    with lake.reading("latents") as dataset:
        yield from dataset.scanner(columns=columns, filter=where, batch_size=READ_AT_ONCE).to_batches()

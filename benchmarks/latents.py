"""`make benchmark-latents`: what an iteration pays before its world model trains, with cached latents and without.

A lake of synthetic episodes, and an untrained autoencoder of preset `nightly`'s shape. Without
the cache every picture is decoded and encoded; with it, those of new episodes, a tenth here as
in the first iterations of a campaign. Each way runs in a process of its own, so that the most
memory it took is its own, too. Seconds are of processor time, on all threads: other work on
the machine stretches the clock, not that.
"""

import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.result import figure, write
from tests.factories import synthetic_episode
from worldvla.campaigns import load
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, write_episodes
from worldvla.lake.latents import cached_latents
from worldvla.lake.store import Lake
from worldvla.training.device import device
from worldvla.world_model.autoencoder import FrameAutoencoder, autoencoder_digest, encode_all, episode_latents
from worldvla.world_model.model import autoencoder_config

CAMPAIGN = "tabletop"
KNOWN, NEW, LENGTH = 200, 20, 48
RECORDED = 128  # pixels a side, as simulators' frames are stored
COMMIT = Commit("benchmark", "world_model", CAMPAIGN)
# A tenth is new; decoding actions and reading what is there must not eat up the gain.
TARGET = 5


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="worldvla-latents-"))
    try:
        episodes = (synthetic_episode(seed, LENGTH, size=RECORDED) for seed in range(KNOWN + NEW))
        ids = write_episodes(Lake(folder), episodes, COMMIT)
        seconds, memory = {}, {}
        for name, way, asked in (
            ("pictures decoded and encoded", from_pictures, ids),
            ("cache, all episodes new", from_cache, ids[:KNOWN]),
            ("cache, a tenth new", from_cache, ids),
            ("cache, none new", from_cache, ids),
        ):
            seconds[name], memory[name] = alone(way, folder, asked)
    finally:
        shutil.rmtree(folder)
    figures = [figure(name, value, "s") for name, value in seconds.items()]
    figures += [figure(f"{name}: most memory above the start", value, "MiB") for name, value in memory.items()]
    before, after = list(seconds)[0], list(seconds)[2]
    figures.append(
        figure("without the cache against with it", seconds[before] / seconds[after], "times", at_least=TARGET)
    )
    protocol = {
        "campaign": CAMPAIGN,
        "episodes": {"known": KNOWN, "new": NEW, "frames each": LENGTH + 1},
        "pixels a side": {"recorded": RECORDED, "encoded": load(CAMPAIGN).world_model.image_size},
        "autoencoder": load(CAMPAIGN).world_model.autoencoder.model_dump(),
        "all episodes new": f"of the {KNOWN} known",
    }
    print(write("latents", protocol, figures))


def alone(way: Callable[[Path, list[str]], np.ndarray], folder: Path, ids: list[str]) -> tuple[float, float]:
    """Processor seconds of one way to latents in a new process, and the MiB by which its memory grew at most."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (way, folder, ids))


def measured(way: Callable[[Path, list[str]], np.ndarray], folder: Path, ids: list[str]) -> tuple[float, float]:
    way(folder, [])
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    way(folder, ids)
    return time.process_time() - begin, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024


def from_pictures(folder: Path, ids: list[str]) -> np.ndarray:
    """Latents float32 [N, C, h, w] of all frames, of a bank that holds all pictures."""
    autoencoder = untrained()
    images = load_bank(Lake(folder), ids, autoencoder.image_size).images
    return encode_all(autoencoder, images).numpy() if len(images) else images


def from_cache(folder: Path, ids: list[str]) -> np.ndarray:
    """Latents float16 [N, C, h, w] of all frames, from the table."""
    autoencoder, lake = untrained(), Lake(folder)
    digest, encode = autoencoder_digest(autoencoder), partial(episode_latents, autoencoder)
    return cached_latents(lake, digest, load_bank(lake, ids, None), autoencoder.image_size, encode, COMMIT)


def untrained() -> FrameAutoencoder:
    torch.manual_seed(0)
    return FrameAutoencoder(autoencoder_config(load(CAMPAIGN).world_model)).to(device())


if __name__ == "__main__":
    main()

"""One side of `benchmarks.loading`, in a process of its own: our loader, or decoding alone.

    python -m benchmarks.loading_ours KIND DATA

KIND: `cached` decodes a frame once, `anew` for every window, `bare` is the decoding alone, of pictures in memory.
Answers each line `STATE WORKERS SECONDS` with the windows and seconds of at most an epoch; a `cold` one begins without
any decoded frame.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from worldvla.lake.episodes import episode_rows
from worldvla.lake.loading import WindowLoader
from worldvla.lake.store import Lake

HISTORY, CHUNK, BATCH = 2, 8, 32


def timed(batches: Iterator[int], seconds: float) -> str:
    """Windows after the first batch, until there is no more or the time is over, and how long that took."""
    next(batches)
    begin, samples, now = time.perf_counter(), 0, 0.0
    for size in batches:
        samples += size
        now = time.perf_counter() - begin
        if now >= seconds:
            break
    return f"{samples} {now}"


def ours(data: Path, workers: int, seed: int, cache: Path | None) -> Iterator[Iterator[int]]:
    """Epochs, each an iterator of batch sizes."""
    lake = Lake(data / "lake")
    ids = episode_rows(lake)["episode_id"].to_list()
    loader = WindowLoader(lake, ids, HISTORY, CHUNK, BATCH, seed=seed, workers=workers, cache=cache)
    for epoch in count():
        yield (len(batch.images) for batch in loader.epoch(epoch))


def bare(data: Path, workers: int, seed: int) -> Iterator[Iterator[int]]:
    """Every frame of a window decoded from memory into the same place: no reading, no copying, no order."""
    import simplejpeg

    frames = Lake(data / "lake").open("frames").to_table(columns=["image"])["image"].to_pylist()
    generator = np.random.default_rng(seed)

    def decode(starts: np.ndarray) -> int:
        target = np.empty((128, 128, 3), np.uint8)
        for start in starts:
            for frame in frames[start : start + HISTORY + CHUNK]:
                simplejpeg.decode_jpeg(frame, colorspace="RGB", buffer=target)
        return len(starts)

    with ThreadPoolExecutor(workers) as pool:
        while True:
            starts = generator.permutation(len(frames) - HISTORY - CHUNK)
            yield pool.map(decode, (starts[i : i + BATCH] for i in range(0, 40 * BATCH, BATCH)))


def main(kind: str, data: str) -> None:
    epochs: dict[str, Iterator[Iterator[int]]] = {}
    with tempfile.TemporaryDirectory(prefix="worldvla-loading-") as cache:
        print("ready", flush=True)
        for seed, line in enumerate(sys.stdin):
            state, workers, seconds = line.split()
            if state == "cold" and kind == "bare":
                epochs[workers] = bare(Path(data), int(workers), seed)
            elif state == "cold":
                epochs[workers] = ours(Path(data), int(workers), seed, Path(cache) if kind == "cached" else None)
            print(timed(next(epochs[workers]), float(seconds)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

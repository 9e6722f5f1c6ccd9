"""Shuffled training windows straight from the tables, for training sets that do not fit in memory as a `FrameBank`.

A window is what one training example sees: `history` frames up to time t, the `chunk` frames after it and the actions
between them. Windows overlap, so every frame is asked for by history + chunk of them. Decoding is what costs, so a
frame is decoded once: its pixels go to a cache, a sparse file that the operating system keeps in memory as far as
there is room and that is deleted with the loader. Without a cache every window decodes its frames anew.

Batches are made by threads: reading and decoding run outside of Python's lock, nothing is copied between processes,
and Lance, which does not survive a fork, needs none.
"""

import shutil
import tempfile
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from worldvla.episodes.images import decode_image
from worldvla.errors import UserError
from worldvla.lake.episodes import camera_strides, episode_rows
from worldvla.lake.faults import explained
from worldvla.lake.store import Lake

# Batches made ahead, besides those that the threads are at.
AHEAD = 2


@dataclass(frozen=True)
class WindowBatch:
    """B windows. `images` uint8 [B, history + chunk, H, W, 3], oldest first, frame t at `history - 1`; `actions`
    float32 [B, chunk, 7], those taken from t on; `episode` int64 [B], indices of the loader's ids; `step` int64 [B], t.
    Before an episode's first frame, that frame is repeated."""

    images: np.ndarray
    actions: np.ndarray
    episode: np.ndarray
    step: np.ndarray


class WindowLoader:
    """All windows of some episodes, in an order that is a function of (seed, epoch) alone."""

    def __init__(
        self,
        lake: Lake,
        ids: list[str],
        history: int,
        chunk: int,
        batch_size: int,
        seed: int = 0,
        workers: int = 2,
        cache: Path | None = None,
    ) -> None:
        """`cache` is a folder for decoded frames, 48 KiB each at 128 x 128 pixels; None decodes every window anew.

        Raises `ValueError` where an id is given twice, `UserError` where an episode is missing, lacks frames or was not
        drawn at every state, no episode has a window, or the folder has no room.
        """
        self.ids = list(ids)
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("an episode id is given twice")
        self.history, self.chunk, self.batch_size = history, chunk, batch_size
        self.seed, self.workers = seed, workers
        rows = episode_rows(lake, self.ids)
        if missing := set(self.ids) - set(rows["episode_id"]):
            raise UserError(f"the lake has no episode {sorted(missing)[0]}: rematerialize the assets that name it")
        if sparse := sorted(name for name, stride in camera_strides(rows).items() if stride > 1):
            raise UserError(
                f"episode {sparse[0]} and {len(sparse) - 1} more have pictures of some states alone, and a window asks "
                "for each: choose others, or record with scene.camera_stride 1"
            )
        self._path, self._dataset = lake.path("frames"), lake.open("frames")
        lengths = rows["length"].to_numpy().astype(np.int64)
        self._starts = np.cumsum(lengths + 1) - (lengths + 1)
        # Of each frame of the loader, episodes end to end: its row in the table, and its action.
        with explained(self._path, "frames"):
            self._rows, self._actions = self._located(lengths)
        windows = np.maximum(lengths - chunk + 1, 0)
        if not windows.sum():
            raise UserError(f"no episode has the {chunk} actions of one chunk: nothing to train on")
        self._episode = np.repeat(np.arange(len(self.ids)), windows)
        self._step = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
        self._size = self._first_size()
        self._cache = None if cache is None else _FrameCache(cache, (len(self._rows), *self._size))

    def __len__(self) -> int:
        """The number of windows."""
        return len(self._episode)

    def epoch(self, number: int) -> Iterator[WindowBatch]:
        """Every window once, shuffled, in batches; the last may be smaller."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self))
        parts = iter(order[begin : begin + self.batch_size] for begin in range(0, len(order), self.batch_size))
        ahead: deque[Future[WindowBatch]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for part in parts:
                ahead.append(pool.submit(self.batch, part))
                if len(ahead) > self.workers + AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, windows: np.ndarray) -> WindowBatch:
        """The windows with these numbers. Raises `UserError` naming a picture that is missing or damaged."""
        episode, step = self._episode[windows], self._step[windows]
        first = self._starts[episode]
        steps = np.maximum(step[:, None] + np.arange(1 - self.history, 1 + self.chunk), 0)
        frames = first[:, None] + steps
        actions = self._actions[(first + step)[:, None] + np.arange(self.chunk)]
        images = np.empty((*frames.shape, *self._size), np.uint8)
        if self._cache is None:
            wanted, place = np.unique(frames, return_inverse=True)
            pictures = self._decoded(wanted, np.empty((len(wanted), *self._size), np.uint8))
            _gather(pictures, place.reshape(frames.shape), images)
        else:
            missing = self._cache.missing(np.unique(frames))
            if len(missing):
                self._decoded(missing, self._cache.pixels, missing)
                self._cache.present[missing] = True
            _gather(self._cache.pixels, frames, images)
        return WindowBatch(images, actions, episode, step)

    def close(self) -> None:
        """Deletes the cache; it is deleted with the loader in any case."""
        if self._cache is not None:
            self._cache.delete()

    def _located(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row in the table int64 [N] and action float32 [N, 7] of every frame; zero for the last of an episode."""
        first = dict(zip(self.ids, self._starts.tolist(), strict=True))
        beyond = dict(zip(self.ids, (self._starts + lengths + 1).tolist(), strict=True))
        wanted = pa.array(self.ids)
        rows = np.full(int((lengths + 1).sum()), -1, np.int64)
        actions = np.zeros((len(rows), 7), np.float32)
        offset = 0
        for batch in self._dataset.to_batches(columns=["episode_id", "step", "action"]):
            found = np.flatnonzero(pa.compute.is_in(batch["episode_id"], wanted).to_numpy(zero_copy_only=False))
            if len(found):
                part = batch.take(pa.array(found))
                names = part["episode_id"].to_pylist()
                begin = np.array([first[one] for one in names])
                at = begin + part["step"].to_numpy()
                # It would stand for a frame of a neighbour.
                if (outside := np.flatnonzero((at < begin) | (at >= [beyond[one] for one in names]))).size:
                    raise UserError(f"a frame has a step that is outside of its episode: {names[outside[0]]}")
                rows[at] = offset + found
                acted = part["action"].is_valid().to_numpy(zero_copy_only=False)
                actions[at[acted]] = part["action"].drop_null().flatten().to_numpy().reshape(-1, 7)
            offset += batch.num_rows
        if (lost := np.flatnonzero(rows < 0)).size:
            episode = self.ids[int(np.searchsorted(self._starts, lost[0], side="right")) - 1]
            raise UserError(f"frames are missing of episode {episode}: record it again")
        return rows, actions

    def _pictures(self, rows: np.ndarray) -> pa.ChunkedArray:
        """The encoded pictures of these rows int64 [M] of the table."""
        with explained(self._path, "frames"):
            return self._dataset.take(rows, columns=["image"])["image"]

    def _first_size(self) -> tuple[int, int, int]:
        """Height, width, 3 of the first frame; the others must have it too."""
        [encoded] = self._pictures(self._rows[:1]).to_pylist()
        if encoded is None:
            raise UserError(f"episode {self.ids[0]} was recorded without images")
        try:
            return decode_image(encoded).shape
        except (OSError, ValueError) as error:
            raise UserError(f"the image of episode {self.ids[0]} at step 0 is damaged: {error}") from error

    def _decoded(self, frames: np.ndarray, pixels: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """Decodes these frames, ascending, into `pixels`, one after the other or at these places."""
        order = np.argsort(self._rows[frames], kind="stable")
        column = self._pictures(self._rows[frames[order]]).combine_chunks()
        for number, place in enumerate(order.tolist()):
            target = pixels[place if at is None else at[place]]
            encoded = column[number].as_py()
            try:
                _decode_into(encoded, target)
            except (OSError, ValueError) as error:
                frame = frames[place]
                episode = int(np.searchsorted(self._starts, frame, side="right")) - 1
                where = f"episode {self.ids[episode]} at step {frame - self._starts[episode]}"
                raise UserError(f"the image of {where} is damaged: {error}") from error
        return pixels


class _FrameCache:
    """Pixels of frames that were decoded, and which ones; threads that decode one at the same time write the same."""

    def __init__(self, folder: Path, shape: tuple[int, int, int, int]) -> None:
        size = int(np.prod(shape))
        folder.mkdir(parents=True, exist_ok=True)
        if size > (free := shutil.disk_usage(folder).free):
            raise UserError(f"decoded frames take {size / 2**30:.1f} GiB; {folder} has {free / 2**30:.1f} GiB free")
        self._folder = Path(tempfile.mkdtemp(prefix="frames-", dir=folder))
        self.delete = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.pixels = np.memmap(self._folder / "pixels", np.uint8, "w+", shape=shape)
        self.present = np.zeros(shape[0], bool)

    def missing(self, frames: np.ndarray) -> np.ndarray:
        return frames[~self.present[frames]]


def _decode_into(encoded: bytes | None, target: np.ndarray) -> None:
    """Decodes a picture into uint8 [H, W, 3]. libjpeg-turbo without Pillow's detours gives the same pixels sooner."""
    import simplejpeg

    if encoded is None:
        raise ValueError("there is none")
    if not simplejpeg.is_jpeg(encoded):
        target[...] = decode_image(encoded)
        return
    height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
    if (height, width) != target.shape[:2]:
        raise ValueError(f"it has {width} x {height} pixels, others {target.shape[1]} x {target.shape[0]}")
    simplejpeg.decode_jpeg(encoded, colorspace="RGB", buffer=target)


def _gather(pixels: np.ndarray, frames: np.ndarray, images: np.ndarray) -> None:
    """images[b, i] = pixels[frames[b, i]]; the frames of a window mostly follow each other, and are one copy then."""
    steps = np.diff(frames, axis=1)
    for window, row in enumerate(frames):
        if (steps[window] == 1).all():
            images[window] = pixels[row[0] : row[-1] + 1]
        else:
            images[window] = pixels[row]

"""HDF5 as robomimic and LIBERO lay it out: one file a task, one group an episode.

    TASK_demo.hdf5
      data            attributes: total, num_demos, env_args, problem_info, macros_image_convention
        demo_N        attributes: num_samples, and the episode's provenance
          actions     float64 [T, 7]
          rewards     float64 [T], of the state that the action led to
          dones       uint8 [T], 1 where that state is a success, and in the last row
          obs/        agentview_rgb uint8 [T, H, W, 3], upright; proprio float32 [T, P]
          worldvla/   what the layout has no place for: the last state's picture and proprioception, reward and progress
                      of all T + 1 states, and whether each was drawn or has the picture of an earlier one, the
                      initial state, the recorder's clock
      mask            SPLIT: the names of the demos in it, robomimic's filter keys

An action's range and meaning are the project's own: translation, rotation, gripper in [-1, 1], where +1 opens. In
LIBERO's own files +1 closes: `data.attrs["gripper"]` says which. Source: robomimic's documentation, Dataset
Contents; LIBERO's `scripts/create_dataset.py` for names of observations and attributes.
"""

import errno
import json
import os
import re
import shutil
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.exchange.exporting.pictures import decoded
from worldvla.exchange.exporting.rate import recorded_rate
from worldvla.sim.libero.tasks import SUITES

IMAGE, PROPRIO = "agentview_rgb", "proprio"
EXTRA = "worldvla"
ROBOSUITE, GYM = 1, 2  # robomimic's EnvType, without which it reads no file
LONGEST_STEM = 120  # of a file's name, which may have 255 bytes
MARGIN = 2**20  # bytes that a file takes beside its numbers and pictures


class HDF5Writer:
    """Writes each episode as it comes. Files are open only then: there may be more tasks than files may be open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: dict[tuple[str, str], Path] = {}
        self._forms: dict[tuple[str, str], dict[str, Any]] = {}
        self._masks: dict[tuple[str, str], dict[str, list[str]]] = {}

    def add(self, episode: Episode, provenance: dict[str, Any]) -> None:
        import h5py

        key = episode.suite, episode.task
        is_new = key not in self._paths
        pictures = decoded(episode) if episode.images else None
        form = _form(episode, pictures)
        for name, theirs in self._forms.setdefault(key, form).items():
            if form[name] != theirs:
                raise UserError(
                    f"episode {episode.episode_id} of {episode.task} has {name} {_told(form[name])}, others of its "
                    f"file {_told(theirs)}: an HDF5 file has one; export them apart"
                )
        if is_new:
            self._paths[key] = self._free_path(episode)
            self._masks[key] = {}
        self._refuse_full(_size(episode, pictures))
        with h5py.File(self._paths[key], "w-" if is_new else "r+") as file:
            data = _created(file, episode) if is_new else file["data"]
            name = f"demo_{data.attrs['num_demos']}"
            _write(data.create_group(name), episode, pictures, provenance)
            data.attrs["num_demos"] += 1
            data.attrs["total"] += episode.length
        if provenance.get("split"):
            self._masks[key].setdefault(provenance["split"], []).append(name)

    def finish(self) -> None:
        import h5py

        for key, masks in self._masks.items():
            if masks:
                self._refuse_full(0)
                with h5py.File(self._paths[key], "r+") as file:
                    for split, names in masks.items():
                        file.create_dataset(f"mask/{split}", data=np.array(names, "S"))

    def close(self) -> None:
        """Nothing is open."""

    def _refuse_full(self, size: int) -> None:
        """HDF5 ends the process, by a signal, where a file grows beyond what there is room for."""
        if shutil.disk_usage(self.folder).free < size + MARGIN:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def _free_path(self, episode: Episode) -> Path:
        """Two tasks may be called alike: in two suites, or by letters that a file's name does not keep."""
        task, suite = (re.sub(r"[^A-Za-z0-9._-]+", "_", one)[:LONGEST_STEM] for one in (episode.task, episode.suite))
        stems = chain((task, f"{suite}_{task}"), (f"{suite}_{task}_{number}" for number in count(2)))
        taken = set(self._paths.values())
        return next(path for stem in stems if (path := self.folder / f"{stem}_demo.hdf5") not in taken)


def _size(episode: Episode, pictures: np.ndarray | None) -> int:
    """Bytes, generously."""
    numbers = (episode.actions, episode.proprio, episode.initial_state, episode.reward, episode.progress)
    return (0 if pictures is None else pictures.nbytes) + 4 * sum(one.nbytes for one in numbers)


def _form(episode: Episode, pictures: np.ndarray | None) -> dict[str, Any]:
    """What all episodes of a file have alike."""
    return {
        "frames/s": recorded_rate(episode),
        "pictures of": None if pictures is None else pictures.shape[1:],
        "proprioception of": episode.proprio.shape[1:],
        "actions of": episode.actions.shape[1:],
    }


def _told(value: Any) -> str:
    return "none" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def _created(file: Any, episode: Episode) -> Any:
    """The group of the file's episodes, with what holds for all of them."""
    data = file.create_group("data")
    rate = recorded_rate(episode)
    options = {"control_freq": rate} if rate else {}
    data.attrs["total"] = 0
    data.attrs["num_demos"] = 0
    kind = ROBOSUITE if episode.suite in SUITES else GYM
    environment = {"env_name": episode.task, "type": kind, "suite": episode.suite, "env_kwargs": options}
    data.attrs["env_args"] = json.dumps(environment)
    data.attrs["problem_info"] = json.dumps({"language_instruction": episode.instruction})
    data.attrs["macros_image_convention"] = "opencv"  # robosuite's name for upright pictures
    data.attrs["gripper"] = "1 opens, -1 closes"
    return data


def _write(group: Any, episode: Episode, pictures: np.ndarray | None, provenance: dict[str, Any]) -> None:
    length = episode.length
    group.attrs["num_samples"] = length
    for name, value in provenance.items():
        if value is not None and name != "initial_state":
            group.attrs[name] = value
    group.create_dataset("actions", data=episode.actions.astype(np.float64))
    group.create_dataset("rewards", data=episode.reward[1:].astype(np.float64))
    dones = (episode.reward[1:] > 0.5).astype(np.uint8)
    dones[-1:] = 1
    group.create_dataset("dones", data=dones)
    group.create_dataset(f"obs/{PROPRIO}", data=episode.proprio[:length].astype(np.float32))
    extra = group.create_group(EXTRA)
    extra.create_dataset(PROPRIO, data=episode.proprio[length].astype(np.float32))
    extra.create_dataset("reward", data=episode.reward.astype(np.float32))
    extra.create_dataset("progress", data=episode.progress.astype(np.float32))
    extra.create_dataset("initial_state", data=np.asarray(episode.initial_state, np.float64))
    if episode.timestamps is not None:
        extra.create_dataset("timestamp", data=np.asarray(episode.timestamps, np.float64))
    if pictures is not None:
        chunk = (1, *pictures.shape[1:])
        group.create_dataset(f"obs/{IMAGE}", data=pictures[:length], chunks=chunk if length else None)
        extra.create_dataset(IMAGE, data=pictures[length])
        extra.create_dataset("drawn", data=np.arange(length + 1) % episode.camera_stride == 0)

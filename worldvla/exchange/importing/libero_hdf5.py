"""LIBERO's and robomimic's HDF5: a file a task, a group `data/demo_N` an attempt, one row an action.

They look alike and differ in three ways that no attribute names. LIBERO's conversion (its
`scripts/create_dataset.py`) stores after each action what it led to, and its pictures as OpenGL has them,
bottom row first; robomimic (`dataset_states_to_obs.py`, and what is regenerated with it) stores what the
action was chosen from, upright. Both count the gripper's 1 as closed, as robosuite does. A file of LIBERO's
conversion is known by its attribute `macros_image_convention`; --map says otherwise where it errs.

A file that `worldvla export` wrote has an attribute `gripper` besides, and in `worldvla/` of each attempt what the
layout has no place for: the last state, and what is known of every state.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from worldvla.exchange.importing.hdf5 import (
    DAMAGE,
    GroupRecord,
    fields_of_first,
    files_of,
    group_in,
    holds,
    names_in,
    opened,
    picture_fields,
    text,
)
from worldvla.exchange.importing.mapping import UNKNOWN, exactly
from worldvla.exchange.importing.record import Broken, Field, Unmappable, exported_stride

if TYPE_CHECKING:
    import h5py

LIBERO_CAMERA = "obs/agentview_rgb"
CAMERAS = (LIBERO_CAMERA, "obs/agentview_image")
PROPRIO = (
    ("obs/proprio",),
    ("obs/joint_states", "obs/gripper_states", "obs/ee_states"),
    ("obs/robot0_joint_pos", "obs/robot0_gripper_qpos", "obs/robot0_eef_pos", "obs/robot0_eef_quat"),
)
OWN = {"success": "worldvla/reward", "progress": "worldvla/progress", "state": "worldvla/initial_state"}
OWN_CLOCK = "worldvla/timestamp"


@dataclass(frozen=True)
class OwnRecord(GroupRecord):
    """An attempt that this project exported: the last state follows the rows of `obs`."""

    def rows(self, name: str) -> np.ndarray:
        rows = super().rows(name)
        last = self._last(name)
        return rows if last is None else np.concatenate([rows, last[None]])

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        yield from super().pictures(name)
        if (last := self._last(name)) is not None:
            yield last

    def _last(self, name: str) -> np.ndarray | None:
        place = f"worldvla/{name.removeprefix('obs/')}"
        return super().rows(place) if name.startswith("obs/") and holds(self.group, place) else None


class Convention(NamedTuple):
    """What a file's attributes say of its rows and pictures; `rate` in Hz, 0 where it is unknown."""

    is_own: bool
    is_libero: bool
    upside_down: bool
    rate: float

    @staticmethod
    def of(attributes: dict[str, str]) -> "Convention":
        is_own = "gripper" in attributes
        is_libero = "macros_image_convention" in attributes and not is_own
        upside_down = is_libero and attributes["macros_image_convention"] != "opencv"
        rate = _settings(attributes).get("control_freq")
        known = isinstance(rate, int | float) and 0 < rate < math.inf
        return Convention(is_own, is_libero, upside_down, float(rate) if known else 0.0)

    def agrees_with(self, other: "Convention") -> bool:
        """Whether what is right for the one file is right for the other; a rate that is unknown may be any."""
        rates = {self.rate, other.rate} - {0}
        return self[:3] == other[:3] and len(rates) < 2

    def __str__(self) -> str:
        layout = "this project's" if self.is_own else "LIBERO's" if self.is_libero else "robomimic's"
        way = "upside down" if self.upside_down else "upright"
        return f"{layout}, {way}{f', {self.rate:g} Hz' if self.rate else ''}"


@dataclass(frozen=True)
class Archive:
    """The HDF5 files of a folder, or one. All are read as the first one is laid out, so the others must be alike."""

    root: Path
    names: tuple[str, ...]

    @property
    def address(self) -> str:
        return str(self.root)

    def fields(self) -> dict[str, Field]:
        return self._fields

    def defaults(self) -> dict[str, str]:
        fields, convention = self._fields, self._convention
        pictures = picture_fields(fields)
        image = next((one for one in CAMERAS if one in fields), pictures[0] if pictures else None)
        proprio = next((one for one in PROPRIO if all(name in fields for name in one)), ())
        clock = OWN_CLOCK if OWN_CLOCK in fields else None
        # LIBERO's name for pictures that OpenGL drew, in a file that does not say what became of them.
        is_libero_like = image == LIBERO_CAMERA and not convention.is_own and not convention.is_libero
        entries = {
            "image": image,
            "proprio": "+".join(proprio),
            "actions": "actions" if "actions" in fields else None,
            "gripper": "-1:1",
            "success": "rewards" if convention.is_libero else None,
            "state": "states" if "states" in fields else None,
            "fps": exactly(convention.rate) if convention.rate else None,
            "observed": "after" if convention.is_libero else "before",
            "turn": UNKNOWN if is_libero_like else "vertical" if convention.upside_down else "none",
        }
        if convention.is_own:
            entries |= {**OWN, "gripper": "1:-1", "timestamp": clock}
        return {key: value for key, value in entries.items() if value}

    def notes(self) -> dict[str, str]:
        return {}

    def count(self) -> int | None:
        total = 0
        for name in self.names:
            try:
                with opened(self.root / name) as file:
                    total += len(names_in(group_in(file, "data")))
            except Unmappable:
                total += 1
        return total

    def records(self, image: str) -> Iterator[GroupRecord | Broken]:
        number = 0
        for name in self.names:
            try:
                file = opened(self.root / name)
            except Unmappable as error:
                yield Broken((name,), "", error)
                continue
            with file:
                try:
                    data = group_in(file, "data")
                    demos, attributes = names_in(data), _attributes(data)
                except Unmappable as error:
                    yield Broken((name,), "", error)
                    continue
                if not (own := Convention.of(attributes)).agrees_with(self._convention):
                    reason = f"{name} is {own}; the first file is {self._convention}; import each kind by itself"
                    yield Broken((name,), "", Unmappable("layout_differs", reason))
                    continue
                instruction, task = _instruction(attributes), _task(name, attributes, own)
                for demo in demos:
                    try:
                        group = group_in(data, demo)
                        if holds(group, "worldvla"):
                            said = _attributes(group)  # a file's name and its first episode do not speak for all
                            words = said.get("task") or task, said.get("instruction") or instruction
                            stride = exported_stride(said.get("settings"))
                            yield OwnRecord(group, (name,), demo, number, *words, camera_stride=stride)
                        else:
                            yield GroupRecord(group, (name,), demo, number, task, instruction)
                    except Unmappable as error:
                        yield Broken((name,), demo, error)
                    number += 1

    @cached_property
    def _fields(self) -> dict[str, Field]:
        return fields_of_first(self.root, self.names, "data")

    @cached_property
    def _convention(self) -> Convention:
        """That of the first file that can be read."""
        for name in self.names:
            try:
                with opened(self.root / name) as file:
                    return Convention.of(_attributes(group_in(file, "data")))
            except Unmappable:
                continue
        return Convention.of({})


def open_archive(path: str, suite: str) -> Archive:
    root, names = files_of(Path(path))
    return Archive(root, tuple(names))


def _attributes(data: "h5py.Group") -> dict[str, str]:
    try:
        return {name: text(value) or "" for name, value in data.attrs.items()}
    except DAMAGE as error:
        raise Unmappable("file_unreadable", f"attributes of {data.name}: {error}") from error


def _settings(attributes: dict[str, str]) -> dict[str, Any]:
    """The arguments that robosuite was given."""
    settings = _json(attributes.get("env_args")).get("env_kwargs")
    return settings if isinstance(settings, dict) else {}


def _json(text: str | None) -> dict[str, Any]:
    """Empty where there is no text, or one that is no JSON object."""
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _instruction(attributes: dict[str, str]) -> str | None:
    words = _json(attributes.get("problem_info")).get("language_instruction")
    words = "".join(words) if isinstance(words, list) else words
    return words.strip().strip('"') or None if isinstance(words, str) else None


def _task(name: str, attributes: dict[str, str], convention: Convention) -> str:
    """LIBERO calls its files TASK_demo.hdf5; robomimic says the task in `env_args` and calls all of its files alike."""
    stem = Path(name).stem
    said = _json(attributes.get("env_args")).get("env_name")
    if convention.is_own or convention.is_libero or stem.endswith("_demo") or not isinstance(said, str):
        return stem.removesuffix("_demo")
    return said.strip() or stem

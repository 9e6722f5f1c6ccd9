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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from worldvla.exchange.importing.record import Broken, Field, Unmappable

if TYPE_CHECKING:
    import h5py

CAMERAS = ("obs/agentview_rgb", "obs/agentview_image")
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


@dataclass(frozen=True)
class Archive:
    """The HDF5 files of a folder, or one."""

    root: Path
    names: tuple[str, ...]

    @property
    def address(self) -> str:
        return str(self.root)

    def fields(self) -> dict[str, Field]:
        return self._fields

    def defaults(self) -> dict[str, str]:
        fields, attributes = self._fields, self._first_attributes
        pictures = picture_fields(fields)
        image = next((one for one in CAMERAS if one in fields), pictures[0] if pictures else None)
        proprio = next((one for one in PROPRIO if all(name in fields for name in one)), ())
        clock = OWN_CLOCK if OWN_CLOCK in fields else None
        is_own = "worldvla/reward" in fields
        is_libero = "macros_image_convention" in attributes and not is_own
        upside_down = is_libero and attributes["macros_image_convention"] != "opencv"
        rate = _settings(attributes).get("env_kwargs", {}).get("control_freq")
        entries = {
            "image": image,
            "proprio": "+".join(proprio),
            "actions": "actions" if "actions" in fields else None,
            "gripper": "-1:1",
            "success": "rewards" if is_libero else None,
            "state": "states" if "states" in fields else None,
            "fps": f"{float(rate):g}" if rate else None,
            "observed": "after" if is_libero else "before",
            "turn": "vertical" if upside_down else "none",
        }
        if is_own:
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

    def records(self) -> Iterator[GroupRecord | Broken]:
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
                instruction = _instruction(attributes)
                for demo in demos:
                    try:
                        group = group_in(data, demo)
                        if holds(group, "worldvla"):
                            said = _attributes(group)  # a file's name and its first episode do not speak for all
                            words = said.get("task") or _stem(name), said.get("instruction") or instruction
                            yield OwnRecord(group, (name,), demo, number, *words)
                        else:
                            yield GroupRecord(group, (name,), demo, number, _stem(name), instruction)
                    except Unmappable as error:
                        yield Broken((name,), demo, error)
                    number += 1

    @cached_property
    def _fields(self) -> dict[str, Field]:
        return fields_of_first(self.root, self.names, "data")

    @cached_property
    def _first_attributes(self) -> dict[str, str]:
        """Those of the first file that can be read."""
        for name in self.names:
            try:
                with opened(self.root / name) as file:
                    return _attributes(group_in(file, "data"))
            except Unmappable:
                continue
        return {}


def open_archive(path: str, suite: str) -> Archive:
    root, names = files_of(Path(path))
    return Archive(root, tuple(names))


def _attributes(data: "h5py.Group") -> dict[str, str]:
    try:
        return {name: text(value) or "" for name, value in data.attrs.items()}
    except DAMAGE as error:
        raise Unmappable("file_unreadable", f"attributes of {data.name}: {error}") from error


def _settings(attributes: dict[str, str]) -> dict[str, Any]:
    """robosuite's arguments; empty where the attribute is not there or no JSON."""
    try:
        settings = json.loads(attributes.get("env_args", "{}"))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _instruction(attributes: dict[str, str]) -> str | None:
    try:
        words = json.loads(attributes.get("problem_info", "{}")).get("language_instruction")
    except (ValueError, AttributeError):
        return None
    words = "".join(words) if isinstance(words, list) else words
    return words.strip().strip('"') or None if isinstance(words, str) else None


def _stem(name: str) -> str:
    return Path(name).stem.removesuffix("_demo")

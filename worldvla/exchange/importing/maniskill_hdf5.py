"""ManiSkill trajectories: `NAME.h5` with a group `traj_N` an episode, and `NAME.json` beside it.

Where the file holds pictures (recorded with an RGB observation mode) they are taken; otherwise the actions are
repeated from the recorded seed in the suite's own simulator, which gives pictures, proprioception, success and
progress as it gives them to everybody. Only delta end-effector control can be: our actions are that control
with a range of its own. A repetition that leads elsewhere than the file says is refused, not imported.
Source: ManiSkill's `mani_skill/utils/wrappers/record.py`; its Panda's controllers for ranges and signs.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldvla.errors import UserError
from worldvla.exchange.importing.hdf5 import (
    GroupRecord,
    fields_of,
    fields_of_first,
    files_of,
    group_in,
    names_in,
    opened,
    picture_fields,
)
from worldvla.exchange.importing.maniskill_replay import FIELDS, SCALE, Replay, Stage, converted, why_not
from worldvla.exchange.importing.record import Broken, Field, Unmappable

if TYPE_CHECKING:
    import h5py

SCALED = "converted/actions"
RATE = 20  # control steps a second of ManiSkill's environments
PROPRIO = ("obs/agent/qpos", "obs/agent/qvel")


@dataclass(frozen=True)
class FilmedRecord(GroupRecord):
    """An attempt whose file holds pictures."""

    mode: str = ""

    def rows(self, name: str) -> np.ndarray:
        return converted(super().rows("actions"), self.mode) if name == SCALED else super().rows(name)


@dataclass(frozen=True)
class ReplayedRecord(GroupRecord):
    """An attempt that is repeated when its first field is asked for."""

    about: "About | None" = None
    stage: Stage | None = None

    def rows(self, name: str) -> np.ndarray:
        return self._replay.rows[name] if name in FIELDS else super().rows(name)

    def pictures(self, name: str) -> Iterator[np.ndarray | None]:
        return iter(self._replay.pictures)

    @cached_property
    def _replay(self) -> Replay:
        assert self.about is not None and self.stage is not None
        return self.about.replay(self, self.stage)


@dataclass(frozen=True)
class About:
    """What the JSON file says: the environment, and its episodes by id."""

    suite: str
    task: str
    mode: str
    episodes: dict[str, dict[str, Any]]

    def seed(self, demo: str) -> int | None:
        options = self.episodes.get(demo, {}).get("reset_kwargs")
        given = options.get("seed") if isinstance(options, dict) else None
        given = given[0] if isinstance(given, list) and given else given
        return given if isinstance(given, int) else None

    def replay(self, record: GroupRecord, stage: Stage) -> Replay:
        if reason := why_not(self.suite, self.task, self.mode):
            raise Unmappable("replay_impossible", reason)
        seed = self.seed(record.position)
        if seed is None:
            raise Unmappable("replay_impossible", f"the JSON file gives no reset seed of {record.position}")
        return Replay.of(stage.simulator(self.task), seed, self.mode, record.group)


@dataclass(frozen=True)
class Archive:
    """The trajectory files of a folder, or one."""

    root: Path
    names: tuple[str, ...]
    suite: str

    @property
    def address(self) -> str:
        return str(self.root)

    def fields(self) -> dict[str, Field]:
        fields, about = self._first
        if picture_fields(fields):
            return fields | {SCALED: Field((7,), "float32")}
        if reason := why_not(self.suite, about.task, about.mode):
            raise UserError(f"{self.root}: the files hold no pictures, and cannot be replayed: {reason}")
        return fields | FIELDS

    def defaults(self) -> dict[str, str]:
        fields = self.fields()
        common = {"gripper": "1:-1", "fps": str(RATE)}
        if FIELDS.keys() <= fields.keys():
            return common | {name.removeprefix("replay/"): name for name in FIELDS}
        entries = {
            "image": picture_fields(fields)[0],
            "actions": SCALED,
            "proprio": "+".join(name for name in PROPRIO if name in fields),
            "success": "success" if "success" in fields else None,
        }
        return common | {key: value for key, value in entries.items() if value}

    def notes(self) -> dict[str, str]:
        scale = ", ".join(f"{one:g}" for one in SCALE)
        how = f"translation and rotation divided by {scale}: ManiSkill's range and sign to the suite's"
        replayed = FIELDS.keys() <= self.fields().keys()
        repeated = {"replay": "actions repeated from the recorded seed; they must lead where recorded"}
        return {"actions": how} | (repeated if replayed else {})

    def count(self) -> int | None:
        total = 0
        for name in self.names:
            try:
                with opened(self.root / name) as file:
                    total += len(names_in(file))
            except Unmappable:
                total += 1
        return total

    def records(self, image: str) -> Iterator[GroupRecord | Broken]:
        with closing(Stage()) as stage:
            number = 0
            for name in self.names:
                try:
                    with opened(self.root / name) as file:
                        about = self._about(name)
                        for demo in names_in(file):
                            yield self._record(file, name, demo, about, number, stage)
                            number += 1
                except Unmappable as error:
                    yield Broken((name,), "", error)

    def _record(
        self, file: "h5py.File", name: str, demo: str, about: About, number: int, stage: Stage
    ) -> GroupRecord | Broken:
        files = (name, _beside(name))
        try:
            group = group_in(file, demo)
            filmed = bool(picture_fields(fields_of(group)))
        except Unmappable as error:
            return Broken(files, demo, error)
        seed = about.seed(demo)
        number = number if seed is None else seed
        if filmed:
            return FilmedRecord(group, files, demo, number, about.task, mode=about.mode)
        return ReplayedRecord(group, files, demo, number, about.task, about=about, stage=stage)

    def _about(self, name: str) -> About:
        beside = _beside(name)
        try:
            content = json.loads((self.root / beside).read_text())
            info = content["env_info"]
            episodes = {f"traj_{one['episode_id']}": one for one in content["episodes"]}
            return About(self.suite, info["env_id"], info["env_kwargs"].get("control_mode") or "", episodes)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unmappable("file_unreadable", f"{beside}, which says what {name} holds: {error!r}") from error

    @cached_property
    def _first(self) -> tuple[dict[str, Field], About]:
        fields, reasons = fields_of_first(self.root, self.names), []
        for name in self.names:
            try:
                return fields, self._about(name)
            except Unmappable as error:
                reasons.append(error.reason)
        raise UserError(f"{self.root}: no trajectory can be read: {'; '.join(reasons[:3])}")


def open_archive(path: str, suite: str) -> Archive:
    root, names = files_of(Path(path))
    return Archive(root, tuple(names), suite)


def _beside(name: str) -> str:
    return str(Path(name).with_suffix(".json"))

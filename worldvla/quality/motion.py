"""Facts about proprioception, actions and their clock."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from worldvla.episodes.episode import Episode
from worldvla.sim.libero import tasks as libero

DEFLECTED = 0.999  # of full deflection
ARM = slice(0, 6)  # translation and rotation; the gripper is at a bound by design
# What counts as movement between two states: radians or metres. Joints at rest in the simulator stay far below.
MOVED = 0.005
# A change smaller than this (radians, metres, or either a second) is no spike, however still the component was.
SPIKE_FLOOR = 0.01


@dataclass(frozen=True)
class Robot:
    """Which leading entries of `proprio` are positions, and the farthest each can move in one control period."""

    limits: tuple[float, ...]


# In 1/20 s the simulated Panda's joints reach 0.35 rad when contacts push them; its fingers have 0.04 m in all.
PANDA = Robot(limits=(0.75,) * 7 + (0.04,) * 2)
ROBOTS: Mapping[str, Robot] = dict.fromkeys(("maniskill_tabletop", *libero.SUITES), PANDA)


def motion_facts(episode: Episode) -> dict:
    """Columns of `episode_facts` on actions and proprioception."""
    actions, proprio = _matrix(episode.actions), _matrix(episode.proprio)
    reach = np.abs(actions[np.isfinite(actions)])
    arm = np.abs(actions[:, ARM])
    change = _changes(proprio)
    return {
        "actions_not_finite": int((~np.isfinite(actions)).sum()),
        "action_reach": float(reach.max()) if reach.size else None,
        "action_saturation": float((arm >= DEFLECTED).mean()) if arm.size else None,
        "proprio_not_finite": int((~np.isfinite(proprio)).sum()),
        "proprio_jump": _jump(change, ROBOTS.get(episode.suite)),
        "proprio_spike": _spike(change),
    }


def moved(episode: Episode) -> np.ndarray:
    """bool [T]: whether the robot moved between states t and t + 1; by its actions where it reports no joints."""
    change = _changes(_matrix(episode.proprio))
    if change.shape[1]:
        robot = ROBOTS.get(episode.suite)
        positions = change[:, : len(robot.limits)] if robot else change
        return np.asarray((positions > MOVED).any(1))
    return np.asarray((np.abs(_matrix(episode.actions)[:, ARM]) > 0.1).any(1))


def clock_facts(timestamps: np.ndarray | None, rate: float | None) -> dict:
    """Columns of `episode_facts` on the frames' clock; all null without one.

    `timestamps` float64 [T + 1] in seconds, NaN where a frame has none; `rate` frames a second as
    declared, otherwise taken from the median interval. Gap and drift are in periods: the longest
    interval, and the farthest that a frame lies from its place on a clock that starts with the
    first frame and ticks at that rate.
    """
    names = ("timestamps_missing", "timestamps_backward", "timestamp_gap", "timestamp_drift")
    if timestamps is None:
        return dict.fromkeys(names)
    times = np.asarray(timestamps, np.float64).ravel()
    missing = int((~np.isfinite(times)).sum())
    intervals = np.diff(times)
    if missing or not len(intervals):
        return dict.fromkeys(names) | {"timestamps_missing": missing}
    backward = int((intervals <= 0).sum())
    period = 1 / rate if rate else float(np.median(intervals))
    if period <= 0:
        return dict.fromkeys(names) | {"timestamps_missing": 0, "timestamps_backward": backward}
    places = times[0] + period * np.arange(len(times))
    return dict(
        zip(
            names,
            (0, backward, float(intervals.max() / period), float(np.abs(times - places).max() / period)),
            strict=True,
        )
    )


def _matrix(values: np.ndarray) -> np.ndarray:
    """float64 [rows, columns], whatever was handed in."""
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), int(np.prod(array.shape[1:]))) if array.ndim else np.zeros((0, 0))


def _changes(proprio: np.ndarray) -> np.ndarray:
    """float64 [T, P]: how far each component moved from state to state; 0 where it is no number."""
    return np.nan_to_num(np.abs(np.diff(proprio, axis=0)), nan=0.0, posinf=0.0)


def _jump(change: np.ndarray, robot: Robot | None) -> float | None:
    if robot is None or not len(change) or change.shape[1] < len(robot.limits):
        return None
    return float((change[:, : len(robot.limits)] / robot.limits).max())


def _spike(change: np.ndarray) -> float | None:
    if not change.size:
        return None
    usual = np.maximum(np.percentile(change, 80, axis=0), SPIKE_FLOOR)
    return float((change.max(0) / usual).max())

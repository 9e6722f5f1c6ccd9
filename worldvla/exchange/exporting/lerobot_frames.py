"""An episode as rows of a LeRobot dataset: a row a state, so that the last state is not lost.

LeRobot wants an action in every row. The last state has none: its row holds still (no translation,
no rotation, the gripper as it was) and says so in `worldvla.acted`. `next.reward` and `next.done` are of the state
that the action led to; `worldvla.reward` and `worldvla.progress` are of the state that the row shows. Its picture is an
earlier one where that state was not drawn: then `worldvla.drawn` is false.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from worldvla.episodes.episode import Episode
from worldvla.exchange.lerobot_layout import (
    ACTED,
    ACTION,
    BOOKKEEPING,
    CLOCK,
    DRAWN,
    IMAGE,
    NEXT_DONE,
    NEXT_REWARD,
    PROGRESS,
    REWARD,
    STATE,
)

ACTION_NAMES = ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
_ARROW = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}


def features_of(episode: Episode, size: tuple[int, int] | None, video: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The features of a dataset whose episodes are like this one; `size` is height and width of its pictures."""
    features: dict[str, dict[str, Any]] = {}
    if size is not None:
        names = ["height", "width", "channels"]
        features[IMAGE] = {"dtype": "video", "shape": [*size, 3], "names": names, "info": video}
        features[DRAWN] = {"dtype": "bool", "shape": [1], "names": None}
    width = episode.proprio.shape[1]
    if width:
        features[STATE] = {"dtype": "float32", "shape": [width], "names": [f"proprio_{i}" for i in range(width)]}
    features[ACTION] = {"dtype": "float32", "shape": [len(ACTION_NAMES)], "names": ACTION_NAMES}
    for name, dtype in ((NEXT_REWARD, "float32"), (NEXT_DONE, "bool"), (REWARD, "float32"), (PROGRESS, "float32")):
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    features[ACTED] = {"dtype": "bool", "shape": [1], "names": None}
    if episode.timestamps is not None:
        features[CLOCK] = {"dtype": "float64", "shape": [1], "names": None}
    return features | BOOKKEEPING


def columns_of(episode: Episode, fps: float, episode_index: int, first_index: int, task_index: int) -> dict:
    """The columns of an episode by feature, [T + 1] or [T + 1, D]; `first_index` counts the dataset's frames so far."""
    length = episode.length
    last = np.zeros((1, len(ACTION_NAMES)), np.float32)
    if length:
        last[0, -1] = episode.actions[-1, -1]
    steps = np.arange(length + 1)
    columns = {
        ACTION: np.concatenate([episode.actions.astype(np.float32), last]),
        NEXT_REWARD: np.append(episode.reward[1:], episode.reward[-1]).astype(np.float32),
        NEXT_DONE: steps >= length - 1,
        REWARD: episode.reward.astype(np.float32),
        PROGRESS: episode.progress.astype(np.float32),
        ACTED: steps < length,
        "timestamp": (steps / fps).astype(np.float32),
        "frame_index": steps.astype(np.int64),
        "episode_index": np.full(length + 1, episode_index, np.int64),
        "index": first_index + steps.astype(np.int64),
        "task_index": np.full(length + 1, task_index, np.int64),
    }
    if episode.images:
        columns[DRAWN] = steps % episode.camera_stride == 0
    if episode.proprio.shape[1]:
        columns[STATE] = episode.proprio.astype(np.float32)
    if episode.timestamps is not None:
        columns[CLOCK] = np.asarray(episode.timestamps, np.float64)
    return columns


def arrow_table(columns: dict[str, np.ndarray], features: dict[str, dict[str, Any]]) -> pa.Table:
    """The columns in the order of the features; vectors are lists of fixed size, those of one number that number."""
    arrays, fields = [], []
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue
        kind, values = _ARROW[feature["dtype"]], columns[name]
        flat = pa.array(values.reshape(-1), kind)
        arrays.append(flat if feature["shape"] == [1] else pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        fields.append(pa.field(name, arrays[-1].type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

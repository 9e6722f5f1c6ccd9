"""The layout of a LeRobot dataset on disk, versions v2.1 and v3.0: paths, metadata, features, names.

A dataset is a folder of Parquet files with one row a frame, MP4 files with the pictures, and
`meta/info.json`, which declares the features and gives the path of every file as a template.

    v2.1  a Parquet file and an MP4 file an episode; meta/episodes.jsonl, tasks.jsonl, episodes_stats.jsonl
    v3.0  many episodes a file; meta/episodes/…parquet says which file, which rows and which seconds of it are whose

A feature of shape (1,) is a scalar column. Source: the LeRobotDataset v3.0 document of huggingface/lerobot and
lerobot 0.4's `lerobot/datasets/utils.py`; for v2.1, its `datasets/v30/convert_dataset_v21_to_v30.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldvla.errors import UserError

V21, V30 = "v2.1", "v3.0"
VERSIONS = (V21, V30)

INFO = "meta/info.json"
STATS = "meta/stats.json"

CHUNK_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_V30 = f"data/{CHUNK_FILE}.parquet"
VIDEO_V30 = f"videos/{{video_key}}/{CHUNK_FILE}.mp4"
EPISODES_V30 = f"meta/episodes/{CHUNK_FILE}.parquet"
TASKS_V30 = "meta/tasks.parquet"

DATA_V21 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_V21 = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
EPISODES_V21 = "meta/episodes.jsonl"
TASKS_V21 = "meta/tasks.jsonl"
EPISODES_STATS_V21 = "meta/episodes_stats.jsonl"

CHUNK_FILES = 1000  # files a chunk folder
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200

# Columns that every dataset has; `index` counts the frames of the whole dataset.
BOOKKEEPING = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}

# Names that lerobot's policies look for.
STATE = "observation.state"
ACTION = "action"
IMAGE = "observation.images.front"
NEXT_REWARD = "next.reward"
NEXT_DONE = "next.done"

# What an episode of ours holds besides. A row is a state; the last one has no action of its own (ACTED is false).
REWARD = "worldvla.reward"
PROGRESS = "worldvla.progress"
ACTED = "worldvla.acted"
CLOCK = "worldvla.timestamp"
DRAWN = "worldvla.drawn"  # false where the picture is that of an earlier state, which was the last one drawn
# Columns of the episodes' metadata that say where an episode came from.
PROVENANCE = "worldvla/"

# The Lance storage of lerobot's main branch (huggingface/lerobot#4363): three tables beside the folder meta/.
STORAGE_FORMAT = "storage_format"
FRAMES_TABLE, VIDEOS_TABLE, META_TABLE = "frames", "videos", "meta"
VIDEO_BYTES = "video_bytes"


@dataclass(frozen=True)
class Info:
    """`meta/info.json`. `features` maps a name to its dtype, shape (without the frames) and names of components,
    `splits` a name to FIRST:END of its episodes; by default all are `train`."""

    version: str
    fps: float
    features: dict[str, dict[str, Any]]
    data_path: str
    video_path: str | None
    total_episodes: int
    total_frames: int
    chunks_size: int = CHUNK_FILES
    robot_type: str | None = None
    splits: dict[str, str] | None = None
    rest: dict[str, Any] | None = None

    @property
    def video_keys(self) -> list[str]:
        """Features whose pictures are in MP4 files."""
        return [name for name, one in self.features.items() if one["dtype"] == "video"]

    @property
    def image_keys(self) -> list[str]:
        """Features whose pictures are encoded one by one, in the Parquet files."""
        return [name for name, one in self.features.items() if one["dtype"] == "image"]

    def data_file(self, episode_index: int, chunk_index: int = 0, file_index: int = 0) -> str:
        """The Parquet file, relative to the dataset: v2.1 asks for the episode, v3.0 for chunk and file."""
        return self._filled(self.data_path, episode_index, chunk_index, file_index)

    def video_file(self, video_key: str, episode_index: int, chunk_index: int = 0, file_index: int = 0) -> str:
        """The MP4 file, relative to the dataset, likewise."""
        return self._filled(self.video_path or "", episode_index, chunk_index, file_index, video_key)

    def as_json(self) -> dict[str, Any]:
        """What stands in the file."""
        return {
            "codebase_version": self.version,
            "robot_type": self.robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "chunks_size": self.chunks_size,
            "fps": int(self.fps) if float(self.fps).is_integer() else self.fps,
            "splits": self.splits or {"train": f"0:{self.total_episodes}"},
            "data_path": self.data_path,
            "video_path": self.video_path,
            "features": self.features,
            **(self.rest or {}),
        }

    def _filled(self, template: str, episode: int, chunk: int, file: int, video_key: str = "") -> str:
        return template.format(
            episode_index=episode,
            episode_chunk=episode // self.chunks_size,
            chunk_index=chunk,
            file_index=file,
            video_key=video_key,
        )


def read_info(root: Path) -> Info:
    """The dataset's description; raises `UserError` naming file and field where it is none of a version known here."""
    path = root / INFO
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{root} is no LeRobot dataset: it has no {INFO}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object")
    version = content.get("codebase_version")
    if version not in VERSIONS:
        raise UserError(f"{path}: codebase_version is {version!r}; known are {', '.join(VERSIONS)}")
    try:
        return Info(
            version=version,
            fps=float(content["fps"]),
            features={str(name): _feature(one) for name, one in content["features"].items()},
            data_path=str(content["data_path"]),
            video_path=content.get("video_path"),
            total_episodes=int(content["total_episodes"]),
            total_frames=int(content["total_frames"]),
            chunks_size=int(content.get("chunks_size") or CHUNK_FILES),
            robot_type=content.get("robot_type"),
        )
    except KeyError as error:
        raise UserError(f"{path} has no field {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: a field has a value of the wrong kind: {error}") from error


def lance_column(name: str) -> str:
    """A feature's column in the table `frames`: Lance takes a dot for a path."""
    return name.replace(".", "_")


def _feature(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "dtype": str(one["dtype"]), "shape": [int(size) for size in one.get("shape") or [1]]}

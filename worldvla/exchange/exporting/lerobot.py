"""A LeRobot dataset, v3.0 or v2.1, that lerobot itself loads: Parquet, MP4 and metadata (`lerobot_layout`).

Provenance stands in the metadata of the episodes, in columns `worldvla/NAME`: lerobot keeps
them in `dataset.meta.episodes`, and its training never sees them.
"""

import json
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.exchange import lerobot_layout as layout
from worldvla.exchange.exporting import lerobot_stats
from worldvla.exchange.exporting.lerobot_frames import arrow_table, columns_of, features_of
from worldvla.exchange.exporting.lerobot_metadata import EpisodesMetadata, open_metadata
from worldvla.exchange.exporting.pictures import decoded
from worldvla.exchange.exporting.rate import recorded_rate
from worldvla.exchange.exporting.run import Video
from worldvla.exchange.exporting.video import VideoFile, described, refuse_unknown

MB = 2**20


class LeRobotWriter:
    """Writes rows, pictures and the metadata of episodes as they come, what is said of all at the end."""

    def __init__(self, folder: Path, video: Video) -> None:
        if video.version not in layout.VERSIONS:
            raise UserError(f"--version {video.version}: the versions are {', '.join(layout.VERSIONS)}")
        refuse_unknown(video.codec, video.crf)
        self.folder = folder
        self.video = video
        self.is_v30 = video.version == layout.V30
        self.features: dict[str, dict[str, Any]] = {}
        self.fps = 0.0
        self.episodes = 0
        self.frames = 0
        self._tasks: dict[str, int] = {}
        self._splits: list[str | None] = []
        self._metadata: EpisodesMetadata | None = None
        self._stats = lerobot_stats.Aggregate()
        self._data: pq.ParquetWriter | None = None
        self._data_files = 0
        self._videos: VideoFile | None = None
        self._video_files = 0

    def add(self, episode: Episode, provenance: dict[str, Any]) -> None:
        pictures = decoded(episode) if episode.images else None
        self._settle(episode, pictures)
        number, first = self.episodes, self.frames
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        columns = columns_of(episode, self.fps, number, first, task)
        stats = {name: lerobot_stats.of_numbers(values) for name, values in columns.items()}
        row: dict[str, Any] = {"episode_index": number, "tasks": [episode.instruction], "length": episode.length + 1}
        row |= self._write_data(number, arrow_table(columns, self.features))
        row |= {"dataset_from_index": first, "dataset_to_index": first + episode.length + 1}
        if pictures is not None:
            row |= self._write_video(number, pictures)
            stats[layout.IMAGE] = lerobot_stats.of_pictures(pictures)
        self._stats.add(stats)
        if self._metadata is None:
            self._metadata = open_metadata(self.folder, self.is_v30)
        self._metadata.add(row, lerobot_stats.as_lists(stats), provenance)
        self._splits.append(provenance.get("split"))
        self.episodes += 1
        self.frames += episode.length + 1

    def finish(self) -> None:
        self.close()
        self._write_info()
        if self.is_v30:
            self._write_summary_v30()
        else:
            self._write_summary_v21()

    def close(self) -> None:
        if self._data is not None:
            self._data.close()
            self._data = None
        if self._videos is not None:
            self._videos.close()
            self._videos = None
        if self._metadata is not None:
            self._metadata.close()
            self._metadata = None

    def _settle(self, episode: Episode, pictures: np.ndarray | None) -> None:
        """The first episode decides what the dataset's features are; the others must have the same."""
        size = None if pictures is None else pictures.shape[1:3]
        fps = self.video.fps or recorded_rate(episode)
        if not fps:
            raise UserError(
                f"episode {episode.episode_id} ({episode.suite} {episode.task}) came without its rate, which a LeRobot "
                "dataset declares: say --fps, or import it with --map fps"
            )
        info = {} if size is None else described(size, fps, self.video.codec)
        features = features_of(episode, size, info)
        if not self.features:
            self.features, self.fps = features, float(fps)
        if float(fps) != self.fps:
            raise UserError(
                f"episode {episode.episode_id} was recorded at {fps:.10g} frames/s, others at {self.fps:.10g}: a "
                "LeRobot dataset has one rate; export them apart, or say --fps"
            )
        for name in dict.fromkeys((*self.features, *features)):
            mine, theirs = self.features.get(name, {}).get("shape"), features.get(name, {}).get("shape")
            if mine != theirs:
                raise UserError(
                    f"episode {episode.episode_id} ({episode.suite} {episode.task}) has {name} "
                    f"{theirs or 'not at all'}, others {mine or 'not at all'}: a LeRobot dataset has one shape; "
                    "export them apart"
                )

    def _write_data(self, number: int, table: pa.Table) -> dict[str, Any]:
        """Appends to the Parquet file that is open, or to the next one; says which."""
        if self._data is not None and (not self.is_v30 or _size(Path(self._data.where)) >= layout.DATA_FILE_MB * MB):
            self._data.close()
            self._data = None
        if self._data is None:
            chunk, file = divmod(self._data_files, layout.CHUNK_FILES)
            path = self.folder / self._info().data_file(number, chunk, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._data = pq.ParquetWriter(path, table.schema, compression="snappy")
            self._data_files += 1
        self._data.write_table(table)
        chunk, file = divmod(self._data_files - 1, layout.CHUNK_FILES)
        return {"data/chunk_index": chunk, "data/file_index": file}

    def _write_video(self, number: int, pictures: np.ndarray) -> dict[str, Any]:
        """Appends to the MP4 file that is open, or to the next one; says which, and from when to when."""
        if self._videos is not None and (not self.is_v30 or _size(self._videos.path) >= layout.VIDEO_FILE_MB * MB):
            self._videos.close()
            self._videos = None
        if self._videos is None:
            chunk, file = divmod(self._video_files, layout.CHUNK_FILES)
            path = self.folder / self._info().video_file(layout.IMAGE, number, chunk, file)
            self._videos = VideoFile(path, pictures.shape[1:3], self.fps, self.video.codec, self.video.crf)
            self._video_files += 1
        begin = self._videos.frames / self.fps
        self._videos.add(pictures)
        chunk, file = divmod(self._video_files - 1, layout.CHUNK_FILES)
        place = {"chunk_index": chunk, "file_index": file}
        place |= {"from_timestamp": begin, "to_timestamp": self._videos.frames / self.fps}
        return {f"videos/{layout.IMAGE}/{name}": value for name, value in place.items()}

    def _info(self) -> layout.Info:
        filmed = layout.IMAGE in self.features
        count = self.episodes
        rest: dict[str, Any] = {"total_tasks": len(self._tasks)}
        if self.is_v30:
            data, video = layout.DATA_V30, layout.VIDEO_V30
            rest |= {"data_files_size_in_mb": layout.DATA_FILE_MB, "video_files_size_in_mb": layout.VIDEO_FILE_MB}
        else:
            data, video = layout.DATA_V21, layout.VIDEO_V21
            rest |= {"total_videos": count if filmed else 0, "total_chunks": -(-count // layout.CHUNK_FILES)}
        return layout.Info(
            version=self.video.version,
            fps=self.fps,
            features=self.features,
            data_path=data,
            video_path=video if filmed else None,
            total_episodes=count,
            total_frames=self.frames,
            splits=_ranges(self._splits),
            rest=rest,
        )

    def _write_info(self) -> None:
        _write_json(self.folder / layout.INFO, self._info().as_json())

    def _write_summary_v30(self) -> None:
        import pandas as pd

        _write_json(self.folder / layout.STATS, lerobot_stats.as_lists(self._stats.result()))
        # lerobot takes the text of a task from the index of this table.
        tasks = pd.DataFrame({"task_index": list(self._tasks.values())}, index=pd.Index(self._tasks, name="task"))
        tasks.to_parquet(self.folder / layout.TASKS_V30)

    def _write_summary_v21(self) -> None:
        tasks = [{"task_index": index, "task": task} for task, index in self._tasks.items()]
        _write_lines(self.folder / layout.TASKS_V21, tasks)


def _ranges(splits: list[str | None]) -> dict[str, str] | None:
    """FIRST:END of each split; None where an episode has none or a split is not in one piece."""
    pieces = [(name, len(list(run))) for name, run in groupby(splits)]
    if any(name is None for name, _ in pieces) or len({name for name, _ in pieces}) < len(pieces):
        return None
    ends = list(accumulate(length for _, length in pieces))
    return {str(name): f"{end - length}:{end}" for (name, length), end in zip(pieces, ends, strict=True)}


def _size(path: Path) -> int:
    """Bytes so far; an encoder may hold all of a file's pictures back."""
    return path.stat().st_size if path.exists() else 0


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4) + "\n")


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

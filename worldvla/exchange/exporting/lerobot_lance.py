"""The Lance storage of LeRobot v3.0, as lerobot's main branch reads it (huggingface/lerobot#4363).

    meta/         as in any v3.0 dataset; info.json says storage_format: lance
    frames.lance  a row a frame, in the order of `index`; a dot in a feature's name is an underscore
    videos.lance  a row an MP4 file: its bytes as a blob, and where its index and its key frames lie, so that a reader
                  fetches only the bytes of a window
    meta.lance    a row a file of meta/: how the metadata travels where the folder does not

Source: that repository's `datasets/lance_backend.py` and `datasets/lance_utils.py`, and the converter of the package
lerobot-lancedb 0.3.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import lance
import pyarrow as pa
import pyarrow.parquet as pq

from worldvla.episodes.episode import Episode
from worldvla.errors import UserError
from worldvla.exchange import lerobot_layout as layout
from worldvla.exchange.exporting.lerobot import LeRobotWriter
from worldvla.exchange.exporting.run import Video

_VIDEOS = pa.schema(
    [
        pa.field("video_key", pa.string()),
        pa.field("chunk_index", pa.int64()),
        pa.field("file_index", pa.int64()),
        pa.field("file_size", pa.int64()),
        pa.field("moov_offset", pa.int64()),
        pa.field("moov_size", pa.int64()),
        pa.field("kf_indices", pa.list_(pa.int64())),
        pa.field("kf_positions", pa.list_(pa.int64())),
        lance.blob_field(layout.VIDEO_BYTES),
    ]
)
_META = pa.schema([pa.field("path", pa.string()), pa.field("data", pa.large_binary())])


class LeRobotLanceWriter:
    """Writes a v3.0 dataset, then turns its Parquet and MP4 files into tables."""

    def __init__(self, folder: Path, video: Video) -> None:
        if video.version != layout.V30:
            raise UserError(f"--version {video.version}: the Lance storage is of {layout.V30} alone")
        self.folder = folder
        self._files = LeRobotWriter(folder, video)

    def add(self, episode: Episode, provenance: dict[str, Any]) -> None:
        self._files.add(episode, provenance)

    def finish(self) -> None:
        self._files.finish()
        info = json.loads((self.folder / layout.INFO).read_text()) | {layout.STORAGE_FORMAT: "lance"}
        (self.folder / layout.INFO).write_text(json.dumps(info, indent=4) + "\n")
        self._write_frames()
        self._write_videos()
        self._write_meta()

    def close(self) -> None:
        self._files.close()

    def _write_frames(self) -> None:
        data = self.folder / "data"
        files = sorted(data.rglob("*.parquet"))
        schema = pq.read_schema(files[0]).remove_metadata()
        schema = pa.schema([field.with_name(layout.lance_column(field.name)) for field in schema])

        def batches() -> Iterator[pa.RecordBatch]:
            for path in files:
                for batch in pq.ParquetFile(path).iter_batches():
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        table = lance.write_dataset(reader, self.folder / f"{layout.FRAMES_TABLE}.lance")
        table.create_scalar_index("episode_index", "BTREE")
        table.create_scalar_index("task_index", "BITMAP")
        shutil.rmtree(data)

    def _write_videos(self) -> None:
        videos = self.folder / "videos"
        if not videos.exists():
            return

        def batches() -> Iterator[pa.RecordBatch]:
            for path in sorted(videos.rglob("*.mp4")):
                row = {
                    "video_key": path.parts[-3],
                    "chunk_index": int(path.parent.name.removeprefix("chunk-")),
                    "file_index": int(path.stem.removeprefix("file-")),
                    **byte_index(path),
                }
                columns = [pa.array([row[field.name]], field.type) for field in list(_VIDEOS)[:-1]]
                yield pa.RecordBatch.from_arrays([*columns, lance.blob_array([path.read_bytes()])], schema=_VIDEOS)

        reader = pa.RecordBatchReader.from_batches(_VIDEOS, batches())
        path = self.folder / f"{layout.VIDEOS_TABLE}.lance"
        table = lance.write_dataset(reader, path, data_storage_version="2.2")
        table.create_scalar_index("video_key", "BITMAP")
        shutil.rmtree(videos)

    def _write_meta(self) -> None:
        meta = self.folder / "meta"
        files = sorted(path for path in meta.rglob("*") if path.is_file())
        rows = [{"path": str(path.relative_to(meta)), "data": path.read_bytes()} for path in files]
        table = pa.Table.from_pylist(rows, schema=_META)
        lance.write_dataset(table, self.folder / f"{layout.META_TABLE}.lance")


def byte_index(path: Path) -> dict[str, Any]:
    """Size of an MP4 file, place of its `moov` box, and number and place of each key frame."""
    import av

    key_frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        for packet in container.demux(stream):
            if packet.pts is not None and packet.is_keyframe and packet.pos is not None:
                key_frames.append((round(packet.pts * stream.time_base * rate), packet.pos))
    key_frames.sort()
    with path.open("rb") as file:
        offset, size = _moov(file, path.stat().st_size)
    return {
        "file_size": path.stat().st_size,
        "moov_offset": offset,
        "moov_size": size,
        "kf_indices": [number for number, _ in key_frames],
        "kf_positions": [position for _, position in key_frames],
    }


def _moov(file: BinaryIO, end: int) -> tuple[int, int]:
    """Offset and size of the box that indexes the file; boxes begin with their size and name (ISO/IEC 14496-12)."""
    offset = 0
    while offset < end:
        file.seek(offset)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:
            size = end - offset
        if head[4:8] == b"moov":
            return offset, size
        if size < 8:
            break
        offset += size
    raise ValueError("the MP4 file has no moov box")

"""Episodes, and what an export of them wrote, read back without this project's readers."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tests.factories import synthetic_episode
from worldvla.episodes.episode import Episode
from worldvla.episodes.images import encode_image
from worldvla.exchange.exporting.run import Exported, Video, episodes, export
from worldvla.exchange.exporting.selection import chosen, of_sans
from worldvla.lake.store import Lake

SANS = "demo/1"
CAMERA = "observation.images.front"


def export_sans(lake: Lake, format_name: str, to: Path, **video: Any) -> Exported:
    return export(lake, chosen(lake, of_sans(lake, SANS)), format_name, to, Video(**video))


def originals(lake: Lake) -> list[Episode]:
    """The episodes of the SANS, in the order of the export."""
    return [episode for episode, _ in episodes(lake, chosen(lake, of_sans(lake, SANS)).rows)]


def filmed(seed: int, length: int = 8, size: int = 64) -> Episode:
    """A synthetic episode with pictures that a camera could take: soft gradients, and a disc that moves over them.

    A video codec halves the resolution of colour, so noise of single pixels would measure that alone.
    """
    y, x = np.mgrid[:size, :size] / size
    pictures = []
    for step in range(length + 1):
        disc = np.hypot(x - 0.2 - 0.6 * step / length, y - 0.3 - 0.04 * seed) < 0.12
        image = np.stack([90 + 80 * x, 110 + 60 * y, 130 - 70 * x * y], -1)
        image[disc] = (200, 120, 90)
        pictures.append(encode_image(image.astype(np.uint8)))
    return replace(synthetic_episode(seed, length=length), images=pictures)


def pictures_of(episode: Episode) -> np.ndarray:
    """uint8 [T + 1, H, W, 3], by Pillow."""
    return np.stack([np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in episode.images])


def video_frames(path: Path) -> tuple[np.ndarray, list[float], list[bool]]:
    """Every picture of a video, its second, and whether it is a key frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pictures, [frame.time for frame in frames], [frame.key_frame for frame in frames]


def rows_of(root: Path) -> dict[str, np.ndarray]:
    """The columns of a LeRobot dataset's Parquet files, in the order of `index`."""
    table = pq.read_table(root / "data").sort_by("index")
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}

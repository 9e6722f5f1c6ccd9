"""Pictures out of a video file, one at a time, with what is damaged named."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldvla.exchange.importing.record import Unmappable

if TYPE_CHECKING:
    import av


def pictures(path: Path, begin: float = 0.0, end: float | None = None) -> Iterator[np.ndarray | None]:
    """The frames shown at `begin` up to and without `end` (seconds), uint8 [H, W, 3]; None for one marked as corrupt.

    Half a frame of tolerance on both sides, as containers round timestamps. They stand as a player shows them: a
    telephone held upright records lying pictures, and by how much to turn them. Raises `Unmappable` on a file that
    is no video or cannot be decoded, which is so where the decoder finds damage that it would paint over.
    """
    import av

    shown = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Unmappable("video_undecodable", f"{path.name} has no video stream")
            stream = container.streams.video[0]
            # By threads of slices, the decoder would not tell of damage even so.
            stream.codec_context.options = {"err_detect": "explode"}
            stream.thread_type = "FRAME"
            half = 0.5 / float(stream.average_rate or 30)
            if begin > half:
                container.seek(int((begin + half / 2) / stream.time_base), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.time is None or frame.time < begin - half:
                    continue
                if end is not None and frame.time >= end - half:
                    return
                yield None if frame.is_corrupt else _upright(frame)
                shown += 1
                if end is not None and frame.time >= end - 3 * half:
                    return  # what follows may be damaged, and is another episode's
    except (av.FFmpegError, OSError) as error:
        raise Unmappable("video_undecodable", f"{path.name}, after {shown} pictures: {error}") from error


def _upright(frame: "av.VideoFrame") -> np.ndarray:
    quarters = round(frame.rotation / 90)  # counterclockwise
    return np.rot90(frame.to_ndarray(format="rgb24"), quarters)


def size_of(path: Path) -> tuple[int, int, float]:
    """Height, width and frames a second as the file declares them; raises `Unmappable`."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.height, stream.width, float(stream.average_rate or 0)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise Unmappable("video_undecodable", f"{path.name}: {error}") from error

"""Pictures out of a video file, one at a time, with what is damaged named."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from worldvla.exchange.importing.record import Unmappable


def pictures(path: Path, begin: float = 0.0, end: float | None = None) -> Iterator[np.ndarray | None]:
    """The frames shown at `begin` up to and without `end` (seconds), uint8 [H, W, 3]; None for one marked as corrupt.

    Half a frame of tolerance on both sides, as containers round timestamps. Raises `Unmappable` on a file that
    is no video or cannot be decoded.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Unmappable("video_undecodable", f"{path.name} has no video stream")
            stream = container.streams.video[0]
            half = 0.5 / float(stream.average_rate or 30)
            if begin > half:
                container.seek(int(begin / stream.time_base), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.time is None or frame.time < begin - half:
                    continue
                if end is not None and frame.time >= end - half:
                    return
                yield None if frame.is_corrupt else frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError) as error:
        raise Unmappable("video_undecodable", f"{path.name}: {error}") from error


def size_of(path: Path) -> tuple[int, int, float]:
    """Height, width and frames a second as the file declares them; raises `Unmappable`."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.height, stream.width, float(stream.average_rate or 0)
    except (av.FFmpegError, OSError, IndexError) as error:
        raise Unmappable("video_undecodable", f"{path.name}: {error}") from error

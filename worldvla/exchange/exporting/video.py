"""Pictures to an MP4 file, one after the other, many episodes in a file."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldvla.errors import UserError

# As FFmpeg names them, and as LeRobot's metadata does.
ENCODERS = {"h264": "libx264", "av1": "libsvtav1"}
# The next picture after a key frame is one again: a window anywhere is decoded from its beginning.
KEY_FRAME_EVERY = 2
PIXELS = "yuv420p"
AV1_SMALLEST = 64  # pixels a side, of SVT-AV1


class VideoFile:
    """An MP4 file that is being written. Picture n is shown at n / fps seconds."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str, crf: int) -> None:
        """`size` is height and width; raises `UserError` where the codec cannot hold it."""
        import av

        height, width = size
        if codec not in ENCODERS:
            raise UserError(f"--codec {codec}: there is no such codec; the codecs are {', '.join(ENCODERS)}")
        least = AV1_SMALLEST if codec == "av1" else 2
        if height % 2 or width % 2 or min(size) < least:
            raise UserError(
                f"pictures of {width} x {height} pixels cannot become {codec} video: each side must be even "
                f"and at least {least}; export hdf5 or parquet, which keep pictures as they are"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = Fraction(fps).limit_denominator(1001)
        options = {"crf": str(crf), "g": str(KEY_FRAME_EVERY)}
        options |= {"preset": "10"} if codec == "av1" else {"preset": "medium", "bf": "0"}
        self.path = path
        self.frames = 0
        self._container = av.open(str(path), "w")
        stream: Any = self._container.add_stream(ENCODERS[codec], rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, PIXELS
        stream.codec_context.time_base = 1 / rate
        stream.codec_context.gop_size = KEY_FRAME_EVERY
        self._stream = stream

    def add(self, pictures: np.ndarray) -> None:
        """uint8 [N, H, W, 3]; the first one is a key frame."""
        import av
        from av.video.frame import PictureType

        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = self.frames
            frame.time_base = self._stream.codec_context.time_base
            frame.pict_type = PictureType.I if number == 0 else PictureType.NONE
            self._container.mux(self._stream.encode(frame))
            self.frames += 1

    def close(self) -> None:
        """Writes what the encoder still holds."""
        if self._container is not None:
            if self.frames:
                self._container.mux(self._stream.encode())
            self._container.close()
            self._container = None


def described(size: tuple[int, int], fps: float, codec: str) -> dict[str, Any]:
    """What LeRobot's `info.json` says of a video."""
    return {
        "video.height": size[0],
        "video.width": size[1],
        "video.codec": codec,
        "video.pix_fmt": PIXELS,
        "video.is_depth_map": False,
        "video.fps": int(fps) if float(fps).is_integer() else fps,
        "video.channels": 3,
        "has_audio": False,
    }

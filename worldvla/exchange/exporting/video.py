"""Pictures to an MP4 file, one after the other, many episodes in a file."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from worldvla.errors import UserError

# As FFmpeg names them, and as LeRobot's metadata does.
ENCODERS = {"h264": "libx264", "av1": "libsvtav1"}
# The least and the highest constant rate factor. SVT-AV1 takes 0 for none given, x264 all above 51 for 51.
CRF = {"h264": (0, 51), "av1": (1, 63)}
# The next picture after a key frame is one again: a window anywhere is decoded from its beginning.
KEY_FRAME_EVERY = 2
PIXELS = "yuv420p"
AV1_SMALLEST = 64  # pixels a side, of SVT-AV1
AV1_FASTEST = 240  # frames/s, of SVT-AV1
SLOWEST = 0.001  # frames/s


def refuse_unknown(codec: str, crf: int) -> None:
    """Raises `UserError` where there is no such codec, or it has no such constant rate factor."""
    if codec not in ENCODERS:
        raise UserError(f"--codec {codec}: there is no such codec; the codecs are {', '.join(ENCODERS)}")
    least, most = CRF[codec]
    if not least <= crf <= most:
        raise UserError(f"--crf {crf}: of {codec} it is {least} to {most}, and the smaller the closer to the original")


class VideoFile:
    """An MP4 file that is being written. Picture n is shown at n / fps seconds."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str, crf: int) -> None:
        """`size` is height and width; raises `UserError` where the codec cannot hold them at this rate."""
        import av

        height, width = size
        least = AV1_SMALLEST if codec == "av1" else 2
        if height % 2 or width % 2 or min(size) < least:
            raise UserError(
                f"pictures of {width} x {height} pixels cannot become {codec} video: each side must be even "
                f"and at least {least}; export hdf5 or parquet, which keep pictures as they are"
            )
        if not SLOWEST <= fps or (codec == "av1" and fps > AV1_FASTEST):
            most = f" and at most {AV1_FASTEST}, h264 any" if codec == "av1" else ""
            raise UserError(
                f"{fps:g} frames/s cannot become {codec} video, which has at least {SLOWEST}{most}; say --fps"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        # Finer than any rate is known: at 1001 29.9998 would be 30, and a picture of minute one out of its place.
        rate = Fraction(fps).limit_denominator(1_000_000)
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

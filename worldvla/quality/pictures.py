"""Facts about an episode's pictures: do they decode, are they dark, do they stand still while the robot moves.

Decoded once, in grey and at an eighth of the size: a JPEG's decoder reads its whole stream and
skips most of the transform, which halves the time, and blocks of 8 × 8 pixels are what darkness
and standstill are judged on.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

SCALE = 8
BLACK = 8  # of 255: sensor noise in the dark stays below, the darkest recorded frame has blocks of 173
STILL = 1  # grey levels by which a block may differ in a picture that is the same: what encoding it again changes


def picture_facts(images: Sequence[bytes], declared: int, moved: np.ndarray, stride: int = 1) -> dict:
    """Columns of `episode_facts`; `moved` bool [T]: whether the robot moved between states t and t + 1.

    Of `declared` states every `stride`-th should have a picture; the others are not asked for one. `darkest_frame` is
    the brightest hundredth of the darkest picture, 0 to 255; `frozen_frames` the longest run of states whose pictures
    equal the one before them while the robot moved.
    """
    decoded = [_decode(data) for data in images[::stride]]
    declared = len(range(0, declared, stride))
    moved = np.array([moved[begin : begin + stride].any() for begin in range(0, len(moved), stride)], bool)
    whole = [picture for picture in decoded if picture is not None]
    light = [float(np.percentile(blocks, 99)) for blocks, _ in whole]
    return {
        "frames_declared": declared,
        "frames_undecoded": declared - len(whole),
        "picture_sizes": len({size for _, size in whole}),
        "black_frames": sum(value < BLACK for value in light),
        "darkest_frame": min(light, default=None),
        "frozen_frames": stride
        * _longest_run(
            [
                bool(moves) and _same(decoded[place], decoded[place + 1])
                for place, moves in enumerate(moved[: max(len(decoded) - 1, 0)])
            ]
        ),
    }


def _decode(data: bytes) -> tuple[np.ndarray, tuple[int, int]] | None:
    """Blocks, int16 [H / 8, W / 8] in grey, and the picture's size; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            size = image.size
            image.draft("L", (max(size[0] // SCALE, 1), max(size[1] // SCALE, 1)))
            if image.size == size and min(size) >= SCALE:
                return np.asarray(image.convert("L").reduce(SCALE), np.int16), size
            return np.asarray(image.convert("L"), np.int16), size
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        # Pillow's UnidentifiedImageError and a truncated stream are OSErrors; a broken PNG raises SyntaxError.
        return None


def _same(one: tuple | None, other: tuple | None) -> bool:
    if one is None or other is None or one[1] != other[1]:
        return False
    return int(np.abs(one[0] - other[0]).max()) <= STILL


def _longest_run(flags: Sequence[bool]) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest

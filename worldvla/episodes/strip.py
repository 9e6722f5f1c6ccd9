"""A strip of an episode's frames for people, drawn also where frames are damaged."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from worldvla.episodes.images import decode_image

COLUMNS = 12
SIDE = 128
CAPTION = 14
PAPER, INK, DAMAGED = "#ffffff", "#1c1c1c", "#b03a2e"


def strip(images: Sequence[bytes], stride: int = 1, columns: int = COLUMNS) -> bytes:
    """PNG: at most `columns` of every `stride`-th frame, evenly spaced, each under its step; crossed out where one is
    damaged."""
    drawn = range(0, max(len(images), 1), stride)
    steps = stride * np.unique(np.linspace(0, len(drawn) - 1, min(columns, len(drawn))).round().astype(int))
    canvas = Image.new("RGB", (SIDE * len(steps), SIDE + CAPTION), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, step in enumerate(steps.tolist()):
        left = SIDE * column
        draw.text((left + 3, 1), f"step {step}", fill=INK)
        frame = _frame(images[step]) if step < len(images) else None
        if frame is None:
            box = (left + 2, CAPTION + 2, left + SIDE - 3, CAPTION + SIDE - 3)
            draw.rectangle(box, outline=DAMAGED)
            draw.line((box[0], box[1], box[2], box[3]), fill=DAMAGED)
            draw.line((box[0], box[3], box[2], box[1]), fill=DAMAGED)
        else:
            canvas.paste(frame, (left, CAPTION))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def _frame(data: bytes) -> Image.Image | None:
    try:
        return Image.fromarray(decode_image(data)).resize((SIDE, SIDE))
    except (OSError, ValueError, SyntaxError):
        return None

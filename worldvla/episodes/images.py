"""Images: encoding for storage, decoding and resizing for models.

One resize for all readers: what a policy sees in the simulator and what a world model
learned from must pass through the same filter.
"""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

JPEG_QUALITY = 95
# What is stored is JPEG, what people import may be PNG. Pillow's other decoders are not offered to strangers' bytes:
# one of them starts a PostScript interpreter.
FORMATS = ("JPEG", "PNG")
LARGEST = 4096  # pixels a side: a few bytes can claim to be gigabytes of picture


def encode_image(image: np.ndarray) -> bytes:
    """uint8 [H, W, 3] RGB to a JPEG (quality 95, no chroma subsampling)."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_image(data: bytes) -> np.ndarray:
    """Encoded picture to uint8 [H, W, 3] RGB; raises `PIL.UnidentifiedImageError`, also when it is too large."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if max(image.size) > LARGEST:
                raise UnidentifiedImageError(f"{image.width} x {image.height} pixels; {LARGEST} a side are the most")
            return np.asarray(image.convert("RGB"))
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise UnidentifiedImageError(str(error)) from error


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] to uint8 [size, size, 3] by box averaging; the same size is returned as is."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))

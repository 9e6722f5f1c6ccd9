"""Distances between two pictures: PSNR, SSIM and FLIP, and why LPIPS is not among them.

LPIPS (Zhang et al. 2018) is a distance between features of a network trained on ImageNet.
torchmetrics ships the small linear weights, not the network's, and builds the network with
torchvision, which cannot be installed beside a CPU torch (README, dependencies) and would
download its weights on first use. So `lpips` is null in every row, and FLIP (Andersson et al.
2020, "FLIP: A Difference Evaluator for Alternating Images") stands beside it under its own
name: a perceptual distance without weights, built from contrast sensitivity, a perceptual
colour space and the differences of edges and points; 0 is alike, 1 as unlike as can be.
"""

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

# Pixels between the middle of SSIM's Gaussian window, which has 11 a side, and its edge.
SSIM_MARGIN = 5
# Two pictures nearer than rounding to 8 bits (variance 1/12) count as this near: 58.9 dB.
PSNR_CEILING_DB = float(10 * np.log10(255**2 * 12))
# A frame is looked at as a picture this many pixels wide would be on the monitor FLIP assumes:
# without it a frame of 64 pixels would be a stamp, and its content below what the eye resolves.
FLIP_VIEWING_WIDTH = 256
FLIP_PIXELS_PER_DEGREE = 67.02


def psnr(real: np.ndarray, imagined: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of uint8 frames [N, H, W, 3] in dB: float32 [N], at most PSNR_CEILING_DB."""
    error = (real.astype(np.float32) - imagined.astype(np.float32)) ** 2
    mean = np.maximum(error.mean(axis=(1, 2, 3)), 1 / 12)
    return (10 * np.log10(255**2 / mean)).astype(np.float32)


def ssim(real: np.ndarray, imagined: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004; Gaussian window of 11 pixels) of uint8 frames: float32 [N].

    The mean over windows that lie inside the picture, as defined, and over the three colours. torchmetrics' own mean
    takes windows across mirrored edges in: of a small picture they are three in ten, most of them of still table.
    """

    def unit(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255

    _, at_pixels = structural_similarity_index_measure(
        unit(imagined), unit(real), data_range=1.0, reduction="none", return_full_image=True
    )
    inside = slice(SSIM_MARGIN, -SSIM_MARGIN)
    return at_pixels[..., inside, inside].mean((1, 2, 3)).numpy()


def flip(real: np.ndarray, imagined: np.ndarray) -> np.ndarray:
    """Mean LDR-FLIP of uint8 frames [N, H, W, 3], seen as if FLIP_VIEWING_WIDTH pixels wide: float32 [N] in [0, 1]."""
    import flip_evaluator

    parameters = {"ppd": FLIP_PIXELS_PER_DEGREE * real.shape[2] / FLIP_VIEWING_WIDTH}
    return np.array(
        [
            flip_evaluator.evaluate(_unit(a), _unit(b), "LDR", applyMagma=False, parameters=dict(parameters))[1]
            for a, b in zip(real, imagined, strict=True)
        ],
        dtype=np.float32,
    )


def _unit(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image, dtype=np.float32) / 255

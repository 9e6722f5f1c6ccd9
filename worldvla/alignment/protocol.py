"""The conditions of an alignment measurement: numbers with different digests must not be compared."""

from collections.abc import Iterable

from worldvla.alignment.judge import THRESHOLD
from worldvla.alignment.perceptual import FLIP_PIXELS_PER_DEGREE, FLIP_VIEWING_WIDTH, PSNR_CEILING_DB
from worldvla.config import Imagination
from worldvla.lake.digests import digest


def protocol(
    imagination: Imagination,
    image_size: int,
    chunk: int,
    frame_stride: int,
    judge_id: str,
    episode_ids: Iterable[str],
    seed: int,
) -> dict:
    """Everything besides the world model that shapes the numbers, with `digest` over it all."""
    ids = sorted(episode_ids)
    conditions = {
        "measurement": "alignment 4",
        "start": "first frame",
        "actions": "recorded",
        "end": "the recorded episode's",
        "success": "any imagined frame at or above the world model's threshold, calibrated on validation episodes",
        "judge": judge_id,
        "judge_on_imagined_frames": "a threshold for all tasks, calibrated on validation episodes",
        "judge_on_real_frames": THRESHOLD,
        "denoising_steps": imagination.denoising_steps,
        "image_size": image_size,
        "chunk": chunk,
        "frame_stride": frame_stride,
        "episodes": len(ids),
        "episode_set": digest(ids),
        "seed": seed,
        "psnr_ceiling_db": PSNR_CEILING_DB,
        "ssim": "Gaussian windows of 11 pixels that lie inside the picture",
        "flip": {"pixels_per_degree": FLIP_PIXELS_PER_DEGREE, "viewing_width": FLIP_VIEWING_WIDTH},
        "lpips": None,
    }
    return conditions | {"digest": digest(conditions)}

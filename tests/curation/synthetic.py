"""Synthetic episode, frame and SANS rows."""

import hashlib
import io

import numpy as np
import polars as pl
from PIL import Image

from worldvla.config import Curation

CURATION = Curation(near_success_progress=0.5, validation=0.1, heldout=0.3, exclude=[])


def name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def episode_row(index: int, best: float = 0.2, success_frames: int = 0, length: int = 8, **changes) -> dict:
    success = success_frames > 0
    row = {
        "episode_id": name(f"episode {index}"),
        "content_digest": name(f"content {index}"),
        "instruction": "push the cube",
        "source": "expert" if success else "perturbed",
        "policy_id": None,
        "initial_state_digest": name(f"state {index}"),
        "length": length,
        "success": success,
        "final_success": success,
        "success_frames": success_frames,
        "final_progress": 1.0 if success else best / 2,
        "best_progress": 1.0 if success else best,
        "best_progress_step": length,
    }
    return row | changes


def outcomes(count: int) -> list[dict]:
    """Episodes of all three labels in turn."""
    return [episode_row(i, best=[0.0, 0.7, 0.2][i % 3], success_frames=int(i % 3 == 0)) for i in range(count)]


def frame_rows(episode_id: str, length: int, **changes) -> pl.DataFrame:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(buffer, format="JPEG")
    rows = {
        "episode_id": [episode_id] * (length + 1),
        "step": list(range(length + 1)),
        "image": [buffer.getvalue()] * (length + 1),
        "action": [[0.5] * 7] * length + [None],
        "reward": [0.0] * length + [1.0],
        "progress": [t / length for t in range(length + 1)],
    }
    return pl.DataFrame(rows | changes, schema_overrides={"reward": pl.Float32, "progress": pl.Float32})

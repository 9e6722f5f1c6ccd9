"""Facts about an episode's frames, computed once and judged by the `frames` expectations."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from worldvla.episodes.images import decode_image

DECODED_PER_EPISODE = 2


def frame_facts(
    frames: pa.Table | pl.DataFrame, decode: int = DECODED_PER_EPISODE, strides: Mapping[str, int] | None = None
) -> pl.DataFrame:
    """One row an episode, by episode id, from rows of table `frames` in any order.

    Columns: `frames`; `steps_contiguous` (0, 1, 2, …, each once); `success_frames`;
    `actions` (frames with one); `last_has_no_action`; `actions_finite`; `action_low` and
    `action_high` (null where no action is a number); `reward_binary`; `progress_low`,
    `progress_high`. With an `image` column also `images_empty` (frames without a picture),
    `images_decoded` and `images_undecodable` among `decode` frames spread over the episode. Of an episode in `strides`
    only every so many frames are asked for a picture.
    """
    strides = strides or {}
    table = frames if isinstance(frames, pl.DataFrame) else pl.DataFrame(pl.from_arrow(frames))
    facts = [
        _facts(group, decode, strides.get(episode, 1))
        for (episode,), group in table.sort("episode_id", "step").group_by("episode_id", maintain_order=True)
    ]
    return pl.DataFrame(facts, schema_overrides={"action_low": pl.Float64, "action_high": pl.Float64})


def _facts(episode: pl.DataFrame, decode: int, stride: int) -> dict:
    actions = [action for action in episode["action"].to_list() if action is not None]
    values = np.array([v for action in actions for v in action], dtype=np.float64)
    finite = values[np.isfinite(values)]
    progress = episode["progress"].to_numpy()
    facts = {
        "episode_id": episode["episode_id"][0],
        "frames": len(episode),
        "steps_contiguous": episode["step"].to_list() == list(range(len(episode))),
        "success_frames": int((episode["reward"] > 0.5).sum()),
        "actions": len(actions),
        "last_has_no_action": episode["action"][-1] is None,
        "actions_finite": len(finite) == len(values),
        "action_low": float(finite.min()) if len(finite) else None,
        "action_high": float(finite.max()) if len(finite) else None,
        "reward_binary": bool(episode["reward"].is_in([0.0, 1.0]).all()),
        "progress_low": float(progress.min()),
        "progress_high": float(progress.max()),
    }
    return facts | _image_facts(episode["image"][::stride], decode) if "image" in episode.columns else facts


def _image_facts(images: pl.Series, decode: int) -> dict:
    sample = np.unique(np.linspace(0, len(images) - 1, decode).astype(int))
    return {
        "images_empty": sum(not image for image in images),
        "images_decoded": len(sample),
        "images_undecodable": sum(not _decodable(images[int(i)]) for i in sample),
    }


def _decodable(data: bytes | None) -> bool:
    try:
        return bool(data) and decode_image(data).ndim == 3
    except (OSError, ValueError):  # PIL.UnidentifiedImageError is an OSError; a truncated stream raises OSError
        return False

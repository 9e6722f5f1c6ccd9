"""From a record and a mapping to an episode of ours, or to the reason why there is none.

An episode of T actions has T + 1 states. Formats that write one row an action lack a state at one end:
where a row shows the state before its action, the last action is left out, because nothing shows what it
led to, and a success that it brought counts for the last state shown; where a row shows the state after its
action, the first action is left out. Pictures one more than actions are what we have, and nothing is left out, unless
what else is mapped of every state lacks the last one: then its picture is left out, and it is as above.
"""

from collections.abc import Mapping as Pairs
from dataclasses import dataclass

import numpy as np

from worldvla.episodes.episode import Episode, Source
from worldvla.episodes.images import decode_image, encode_image, resize
from worldvla.exchange.importing.mapping import ALL, NONE, Mapping, what
from worldvla.exchange.importing.record import Record, Unmappable
from worldvla.exchange.importing.words import Words

IMAGE_SIZE = 128
FINGERPRINT = 8  # pixels a side of the first picture that stand for an unknown simulator state


@dataclass(frozen=True)
class Recipe:
    """All that makes an episode of a record, besides the record: the import's `name` becomes the episodes' actor."""

    name: str
    format: str
    suite: str
    words: Words
    mapping: Mapping
    chunk: int


def assemble(record: Record, recipe: Recipe, origin: Pairs) -> Episode:
    """The episode; `origin` goes into its settings. Raises `Unmappable`."""
    mapping = recipe.mapping
    task, instruction = recipe.words.of(record, mapping)
    actions = mapping.actions(record)
    images = [
        b"" if state % record.camera_stride else _encoded(picture, mapping["turn"])
        for state, picture in enumerate(record.pictures(mapping["image"]))
    ]
    rows = len(actions)
    if len(images) == rows + 1 and rows in _lengths(record, mapping):
        images.pop()
    states = len(images)
    if states not in (rows, rows + 1):
        raise Unmappable("frame_count", f"{rows} actions and {states} pictures ({mapping['image']})")
    if states <= recipe.chunk:
        raise Unmappable("too_short", f"{max(states - 1, 0)} actions, fewer than a chunk of {recipe.chunk}")
    reward = _reward(record, mapping, rows, states)
    progress = _column(record, mapping["progress"], states) if mapping.get("progress") else reward
    proprio = mapping.proprio(record) if mapping.get("proprio") else np.zeros((states, 0), np.float32)
    if len(proprio) != states:
        raise Unmappable("shape_mismatch", f"{states} pictures and {len(proprio)} rows of {mapping['proprio']}")
    timestamps = _column(record, mapping["timestamp"], states) if mapping.get("timestamp") else None
    # Whose picture the first row lacks; the simulator's state in it is still the one before its action.
    skipped = int(states == rows and mapping["observed"] == "after")
    if states == rows:
        actions = actions[1:] if skipped else actions[:-1]
    first = len(actions) % recipe.chunk
    if first % record.camera_stride:
        drawn = f"every {record.camera_stride}th state was drawn, and it would begin with state {first}"
        raise Unmappable("frame_count", f"{drawn}; a --chunk that divides its {len(actions)} actions keeps all")
    images, proprio = images[first:], proprio[first:]
    return Episode(
        suite=recipe.suite,
        task=task,
        instruction=instruction,
        seed=record.number,
        source=Source.IMPORT,
        actor=recipe.name,
        images=images,
        proprio=proprio,
        actions=actions[first:],
        reward=reward[first:].astype(np.float32),
        progress=progress[first:].astype(np.float32),
        initial_state=_initial_state(record, mapping, first + skipped, images[0], proprio[0]),
        settings={
            "import": {**origin, "format": recipe.format, "mapping": mapping.digest},
            "chunk": recipe.chunk,
            **({"fps": mapping.fps} if mapping.fps else {}),
            **({"camera_stride": record.camera_stride} if record.camera_stride > 1 else {}),
        },
        timestamps=None if timestamps is None else timestamps[first:].astype(np.float64),
    )


def _lengths(record: Record, mapping: Mapping) -> set[int]:
    """Of how many states the columns tell that have one number, or one row of them, a state."""
    columns = {len(record.rows(mapping[key])) for key in ("progress", "timestamp") if mapping.get(key)}
    return columns | ({len(mapping.proprio(record))} if mapping.get("proprio") else set())


def _encoded(picture: np.ndarray | None, turn: str) -> bytes:
    """JPEG; empty for a picture that could not be decoded, which the quality rules then name."""
    if picture is None:
        return b""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise Unmappable("shape_mismatch", f"a picture is {picture.dtype} {list(picture.shape)}, not uint8 [H, W, 3]")
    if turn != "none":
        picture = picture[::-1] if turn == "vertical" else picture[::-1, ::-1]
    return encode_image(resize(np.ascontiguousarray(picture), IMAGE_SIZE))


def _reward(record: Record, mapping: Mapping, rows: int, states: int) -> np.ndarray:
    """float32 [states]: 1 where the state is a success."""
    reward = np.zeros(states, np.float32)
    if mapping["success"] in (ALL, NONE):
        reward[-1] = mapping["success"] == ALL
        return reward
    name, of_own_state, least = mapping.success
    values = np.asarray(record.rows(name))
    if values.dtype.kind not in "fiub" or values.size not in (1, rows, states):
        raise Unmappable(
            "shape_mismatch", f"{name} is {what(values)}: no value for each of {rows} actions or the episode"
        )
    given = values.astype(np.float64).ravel()
    if not np.isfinite(given).all():
        raise Unmappable("success_unclear", f"{name} holds {given[~np.isfinite(given)][0]:g}, which is no outcome")
    if least is None and not np.isin(given, (0, 1)).all():
        odd = given[~np.isin(given, (0, 1))][0]
        raise Unmappable("success_unclear", f"{name} holds {odd:g}, neither 0 nor 1; write --success '{name}>=NUMBER'")
    success = given >= (1 if least is None else least)
    if values.ndim == 0 or (len(success) == 1 and rows != 1):
        reward[-1] = success[0]
    elif len(success) == states and (states > rows or of_own_state or mapping["observed"] == "after"):
        reward[:] = success
    elif len(success) == states - 1 and of_own_state and mapping["observed"] == "before":
        reward[:-1] = success
        reward[-1] = success[-1]  # of what the last action led to nothing is said
    else:
        reward[1:] = success[: states - 1]
        reward[-1] = max(reward[-1], success[-1])
    return reward


def _column(record: Record, name: str, states: int) -> np.ndarray:
    values = record.rows(name)
    if values.dtype.kind not in "fiub" or values.size != states:
        raise Unmappable("shape_mismatch", f"{name} is {what(values)}, and there are {states} states")
    return values.astype(np.float64).ravel()


def _initial_state(record: Record, mapping: Mapping, row: int, image: bytes, proprio: np.ndarray) -> np.ndarray:
    """float64 [S]: the simulator's state in `row`, where the record has one, otherwise what robot and camera show.

    Splits hash it, so it is what two records of one initial state have in common.
    """
    if mapping.get("state"):
        states = record.rows(mapping["state"])
        if states.ndim == 1 and states.dtype.kind == "f":
            return states.astype(np.float64)
        if states.ndim == 2 and states.dtype.kind == "f" and len(states) > row:
            return states[row].astype(np.float64)
        raise Unmappable("shape_mismatch", f"{mapping['state']} is {states.dtype} {list(states.shape)}, not [N, S]")
    shown = resize(decode_image(image), FINGERPRINT).ravel() if image else np.zeros(0)
    return np.concatenate([proprio.astype(np.float64), shown.astype(np.float64)])

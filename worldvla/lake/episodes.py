"""Episodes in the lake: recording them, naming sets of them, and reading them back as training data.

An episode's frames are written before its row in `episodes`, so a row there means a whole
episode. Frames of an episode are contiguous and ascending by step: reading a window is
reading one range.
"""

import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from worldvla.episodes.episode import Episode, Source, camera_stride
from worldvla.episodes.frame_bank import FrameBank
from worldvla.episodes.images import decode_image, resize
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import canonical_json, set_version
from worldvla.lake.faults import explained
from worldvla.lake.store import Lake, is_in, quoted
from worldvla.lake.tables import TABLES

# Episodes decoded at once by `load_bank`, frames by `load_images`: bounds the encoded images held in memory.
BANK_BATCH = 64
IMAGES_BATCH = 4096
DECODING_THREADS = 2
BANK_COLUMNS = ["episode_id", "step", "action", "proprio", "reward", "progress"]


def write_episodes(lake: Lake, episodes: Iterable[Episode], commit: Commit, batch: int = 16) -> list[str]:
    """Records episodes, `batch` at a time as they come; returns their ids in order.

    Episodes that are there already are left as they are, so an interrupted call can be
    repeated from its beginning.
    """
    ids: list[str] = []
    stream = iter(episodes)
    while group := list(islice(stream, batch)):
        lake.insert("frames", [row for episode in group for row in frame_rows(episode)], commit)
        lake.insert("episodes", [_episode_row(episode) for episode in group], commit)
        ids.extend(episode.episode_id for episode in group)
    return ids


def episode_rows(lake: Lake, ids: list[str] | None = None) -> pl.DataFrame:
    """Rows of `episodes`, in the order of `ids` (those that exist), or all of them in the order written."""
    if ids is None:
        return lake.frame("episodes")
    order = pl.DataFrame({"episode_id": list(ids)}, schema={"episode_id": pl.String})
    return order.join(_where_episode(lake, "episodes", ids), on="episode_id", how="inner", maintain_order="left")


def camera_strides(rows: pl.DataFrame) -> dict[str, int]:
    """By id, every how many states the episodes of these `rows` have a picture."""
    settings = zip(rows["episode_id"], rows["settings"], strict=True)
    return {episode_id: camera_stride(json.loads(one)) for episode_id, one in settings}


def existing(lake: Lake, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are recorded, retracted or not."""
    return set(_where_episode(lake, "episodes", list(ids), ["episode_id"])["episode_id"])


def load_bank(lake: Lake, ids: list[str], image_size: int | None) -> FrameBank:
    """The episodes, decoded and resized to `image_size` pixels a side, in the order of `ids`.

    Without an `image_size` no picture is read: `images` has the shape [N, 0, 0, 3]. Raises
    `UserError` naming the episodes that are not recorded, lack frames, or hold an image that
    cannot be decoded; `ValueError` when an id is given twice.
    """
    if len(set(ids)) != len(ids):
        raise ValueError("an episode id is given twice")
    rows = episode_rows(lake, ids)
    if missing := set(ids) - set(rows["episode_id"]):
        raise UserError(f"the lake has no episode {_few(missing)}: rematerialize the assets that name it")
    _check_lengths(lake, rows)
    lengths = rows["length"].to_numpy().astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(ids) else np.zeros(0, np.int64)
    total = int(lengths.sum())
    bank = FrameBank(
        episode_ids=list(ids),
        tasks=rows["task"].to_list(),
        instructions=rows["instruction"].to_list(),
        success=rows["success"].to_numpy().astype(bool),
        images=np.zeros((total, image_size or 0, image_size or 0, 3), np.uint8),
        actions=np.zeros((total, 7), np.float32),
        proprio=np.zeros((total, 0), np.float32),
        reward=np.zeros(total, np.float32),
        progress=np.zeros(total, np.float32),
        starts=starts,
        lengths=lengths,
        camera_strides=np.array([*camera_strides(rows).values()], np.int64),
    )
    return replace(bank, proprio=_fill(lake, bank))


def load_images(lake: Lake, bank: FrameBank, frames: np.ndarray, image_size: int) -> np.ndarray:
    """Pictures of frames int64 [M] of a bank that may be without, decoded: uint8 [M, image_size, image_size, 3].

    Raises `UserError` naming the episode where one is missing, was not drawn or cannot be decoded.
    """
    episode = bank.episode_of_frame()[frames]
    steps = (frames - bank.starts[episode]).tolist()
    names = [bank.episode_ids[index] for index in episode]
    with lake.reading("frames") as dataset:
        there = pl.DataFrame(pl.from_arrow(dataset.to_table(columns=["episode_id", "step"]))).with_row_index("place")
    wanted = pl.DataFrame({"episode_id": names, "step": steps}, schema={"episode_id": pl.String, "step": pl.Int32})
    places = wanted.join(there, on=["episode_id", "step"], how="left", maintain_order="left")["place"]
    if places.null_count():
        lacking = set(wanted.filter(places.is_null())["episode_id"])
        raise UserError(f"frames are missing of episode {_few(lacking)}: record it again")
    images = np.zeros((len(frames), image_size, image_size, 3), np.uint8)
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for begin in range(0, len(frames), IMAGES_BATCH):
            rows = np.arange(begin, min(begin + IMAGES_BATCH, len(frames)))
            with explained(lake.path("frames"), "frames"):
                encoded = dataset.take(places[rows].to_list(), columns=["image"])["image"].to_pylist()
            _decode_all(pool, images, rows, encoded, [names[row] for row in rows], [steps[row] for row in rows])
    return images


def read_episode(lake: Lake, episode_id: str) -> Episode:
    """The episode as it is stored; raises `UserError` where it is not recorded or has no frames left.

    What is damaged comes back damaged: a frame that is missing shortens the arrays, a picture
    that is missing is empty.
    """
    rows = episode_rows(lake, [episode_id])
    if rows.is_empty():
        raise UserError(f"the lake has no episode {episode_id}")
    frames = lake.frame("frames", TABLES["frames"].schema.names, f"episode_id = {quoted(episode_id)}")
    return assembled(rows.to_dicts()[0], frames)


def assembled(row: dict, frames: pl.DataFrame) -> Episode:
    """The episode of a row of `episodes` and its rows of `frames`, in any order; raises `UserError` without frames."""
    if frames.is_empty():
        raise UserError(f"frames are missing of episode {row['episode_id']}: record it again")
    frames = frames.sort("step")
    images = frames["image"].to_list()
    actions = [action for action in frames["action"].to_list() if action is not None]
    clocked = frames["timestamp"].is_not_null().any()
    return Episode(
        **{name: row[name] for name in ("suite", "task", "instruction", "seed", "actor")},
        source=Source(row["source"]),
        images=[] if all(image is None for image in images) else [image or b"" for image in images],
        proprio=np.array(frames["proprio"].to_list(), np.float32).reshape(len(frames), -1),
        actions=np.array(actions, np.float32).reshape(len(actions), -1),
        reward=frames["reward"].to_numpy().astype(np.float32),
        progress=frames["progress"].to_numpy().astype(np.float32),
        initial_state=np.array(row["initial_state"], np.float64),
        settings=json.loads(row["settings"]),
        timestamps=frames["timestamp"].fill_null(math.nan).to_numpy() if clocked else None,
    )


def write_set(lake: Lake, ids: Iterable[str], commit: Commit) -> str:
    """Names a set of recorded episodes and returns its version; retracted ones do not enter.

    A set is a pure function of its members: the order it keeps is by task, seed and id,
    whatever order they are given in. Raises `ValueError` on ids that are not recorded.
    """
    rows = _where_episode(lake, "episodes", sorted(set(ids)), ["episode_id", "content_digest", "task", "seed"])
    if missing := set(ids) - set(rows["episode_id"]):
        raise ValueError(f"a set may hold recorded episodes only; the lake has no {_few(missing)}")
    rows = rows.join(retracted(lake), on="episode_id", how="anti").sort("task", "seed", "episode_id")
    version = set_version(rows.select("episode_id", "content_digest").rows())
    members = [
        {"set_version": version, "episode_id": episode_id, "position": position}
        for position, episode_id in enumerate(rows["episode_id"])
    ]
    lake.insert("episode_sets", members, commit)
    return version


def set_members(lake: Lake, version: str) -> list[str]:
    """The episodes of a set in its order, without those retracted since."""
    members = lake.frame("episode_sets", ["episode_id", "position"], f"set_version = {quoted(version)}")
    return members.join(retracted(lake), on="episode_id", how="anti").sort("position")["episode_id"].to_list()


def remaining_version(lake: Lake, version: str) -> str:
    """The version of a set's members that are recorded and not retracted: its own exactly when it is whole."""
    members = lake.frame("episode_sets", ["episode_id"], f"set_version = {quoted(version)}")
    kept = members.join(retracted(lake), on="episode_id", how="anti")
    there = kept.join(lake.frame("episodes", ["episode_id", "content_digest"]), on="episode_id")
    return set_version(there.select("episode_id", "content_digest").rows())


def retracted(lake: Lake) -> pl.DataFrame:
    """One column, `episode_id`: the episodes withdrawn."""
    return lake.frame("retractions", ["episode_id"])


def _where_episode(lake: Lake, table: str, ids: list[str], columns: list[str] | None = None) -> pl.DataFrame:
    # A long IN list is slower than reading the small table whole.
    if len(ids) <= 200:
        return lake.frame(table, columns, is_in("episode_id", ids))
    return lake.frame(table, columns).filter(pl.col("episode_id").is_in(set(ids)))


def _episode_row(episode: Episode) -> dict:
    best = int(np.argmax(episode.progress))
    return {
        "episode_id": episode.episode_id,
        "content_digest": episode.content_digest,
        "suite": episode.suite,
        "task": episode.task,
        "instruction": episode.instruction,
        "seed": int(episode.seed),
        "source": str(episode.source),
        "actor": episode.actor,
        "policy_id": episode.actor if episode.source == Source.POLICY else None,
        "settings": canonical_json(episode.settings),
        "initial_state_digest": episode.initial_state_digest,
        "initial_state": np.asarray(episode.initial_state, np.float64),
        "length": episode.length,
        "success": episode.success,
        "success_frames": int((episode.reward > 0.5).sum()),
        "final_success": bool(episode.reward[-1] > 0.5),
        "final_progress": float(episode.progress[-1]),
        "best_progress": float(episode.progress[best]),
        "best_progress_step": best,
    }


def frame_rows(episode: Episode) -> Iterator[dict]:
    """The episode as rows of table `frames`, a state each."""
    for step in range(episode.length + 1):
        yield {
            "episode_id": episode.episode_id,
            "step": step,
            "image": (episode.images[step] or None) if episode.images else None,
            "proprio": np.asarray(episode.proprio[step], np.float32),
            "action": np.asarray(episode.actions[step], np.float32) if step < episode.length else None,
            "reward": float(episode.reward[step]),
            "progress": float(episode.progress[step]),
            "timestamp": None if episode.timestamps is None else float(episode.timestamps[step]),
        }


def _fill(lake: Lake, bank: FrameBank) -> np.ndarray:
    """Reads the frames of the bank's episodes, some episodes at a time, into its arrays; those of no pixels stay so.

    Returns their proprioception, float32 [N, P], whose width is known at the end.
    """
    columns = [*BANK_COLUMNS, "image"] if bank.images.size else BANK_COLUMNS
    start_of = dict(zip(bank.episode_ids, bank.starts.tolist(), strict=True))
    filled, drawn = np.zeros(bank.frame_count, bool), bank.drawn()
    senses: list[tuple[np.ndarray, pa.ListArray]] = []
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for begin in range(0, len(bank), BANK_BATCH):
            ids = bank.episode_ids[begin : begin + BANK_BATCH]
            table = lake.read("frames", columns, is_in("episode_id", ids))
            names = table["episode_id"].to_pylist()
            steps = table["step"].to_pylist()
            _check_steps(bank, begin, names, steps)
            at = np.array([start_of[name] + step for name, step in zip(names, steps, strict=True)], np.int64)
            bank.reward[at] = table["reward"].to_numpy()
            bank.progress[at] = table["progress"].to_numpy()
            moving = np.flatnonzero(table["action"].is_valid().to_numpy())
            flat = table["action"].combine_chunks().flatten().to_numpy()
            if len(flat) != len(moving) * bank.actions.shape[1]:
                raise UserError(_wrong_actions(names, table["action"].to_pylist(), bank.actions.shape[1]))
            bank.actions[at[moving]] = flat.reshape(len(moving), -1)
            senses.append((at, table["proprio"].combine_chunks()))
            if bank.images.size:
                rows = np.flatnonzero(drawn[at])
                encoded = table["image"].take(pa.array(rows)).to_pylist()
                of, when = [names[row] for row in rows], [steps[row] for row in rows]
                _decode_all(pool, bank.images, at[rows], encoded, of, when)
            filled[at] = True
    if not filled.all():
        broken = {bank.episode_ids[i] for i in np.unique(bank.episode_of_frame()[~filled])}
        raise UserError(f"frames are missing of episode {_few(broken)}: record it again")
    return _proprioception(senses, bank.frame_count)


def _proprioception(senses: list[tuple[np.ndarray, pa.ListArray]], frames: int) -> np.ndarray:
    """float32 [frames, P] from lists at frames; P is the most common length, and other lists are NaN."""
    widths = [pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False) for _, lists in senses]
    width = int(np.bincount(np.concatenate(widths)).argmax()) if senses else 0
    proprio = np.full((frames, width), np.nan, np.float32)
    for (at, lists), own in zip(senses, widths, strict=True):
        kept = np.flatnonzero(own == width)
        proprio[at[kept]] = (
            lists.take(pa.array(kept)).flatten().to_numpy(zero_copy_only=False).reshape(len(kept), width)
        )
    return proprio


def _check_lengths(lake: Lake, rows: pl.DataFrame) -> None:
    """Before memory is taken for them: that the lake can hold the frames that the episodes claim."""
    if (wrong := rows.filter(pl.col("length").is_null() | (pl.col("length") < 0))).height:
        raise UserError(f"the length of episode {_few(wrong['episode_id'])} is no number of actions")
    recorded = lake.open("frames").count_rows()
    if int(rows["length"].cast(pl.Int64).sum()) + len(rows) > recorded:
        longest = rows.sort("length", descending=True)["episode_id"][0]
        raise UserError(f"episodes claim more frames than the {recorded} recorded, the most episode {longest}")


def _check_steps(bank: FrameBank, begin: int, names: list[str], steps: list[int]) -> None:
    """A step beyond its episode would land in a neighbour's frames."""
    part = slice(begin, begin + BANK_BATCH)
    length = dict(zip(bank.episode_ids[part], bank.lengths[part].tolist(), strict=True))
    wrong = {name for name, step in zip(names, steps, strict=True) if not 0 <= step < length[name]}
    if wrong:
        raise UserError(f"a frame has a step that is outside of its episode: {_few(wrong)}")


def _wrong_actions(names: list[str], actions: list, width: int) -> str:
    wrong = {name for name, action in zip(names, actions, strict=True) if action is not None and len(action) != width}
    return f"an action is not {width} numbers in episode {_few(wrong)}"


def _decode_all(
    pool: ThreadPoolExecutor, target: np.ndarray, rows: np.ndarray, encoded: list, names: list[str], steps: list[int]
) -> None:
    """Decodes pictures into these rows of `target`, resized to its size."""

    def decode(part: slice) -> None:
        for row, data, name, step in zip(rows[part].tolist(), encoded[part], names[part], steps[part], strict=True):
            target[row] = resize(_decoded(data, name, step), target.shape[1])

    for job in [pool.submit(decode, slice(row, row + 128)) for row in range(0, len(rows), 128)]:
        job.result()


def _decoded(encoded: bytes | None, episode_id: str, step: int) -> np.ndarray:
    if encoded is None:
        raise UserError(f"episode {episode_id} was recorded without an image of step {step}")
    try:
        return decode_image(encoded)
    except OSError as error:
        raise UserError(f"the image of episode {episode_id} at step {step} is damaged: {error}") from error


def _few(items: Iterable) -> str:
    items = sorted(map(str, items))
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")

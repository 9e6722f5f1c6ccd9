"""Small datasets of every format, in the layout that their own writers give; the same for the same arguments."""

import json
import struct
from pathlib import Path

import numpy as np

SIZE = 32
STEPS = 17  # rows of a record of formats that write one an action: 16 actions after one end is left out
INSTRUCTION = "put the cup on the plate"


def picture(step: int, record: int = 0, size: int = SIZE) -> np.ndarray:
    """A bright square that moves with every step, on a ground that tells records apart; brighter at the top."""
    image = np.full((size, size, 3), 40 + 7 * (record % 8), np.uint8)
    image[: size // 4] += 60
    at = (3 * step) % (size - 8)
    image[at : at + 8, size - 8 - at : size - at] = (250, 240, 30)
    return image


def pictures(count: int, record: int = 0, size: int = SIZE) -> np.ndarray:
    return np.stack([picture(step, record, size) for step in range(count)])


def actions(count: int, record: int = 0) -> np.ndarray:
    """float32 [count, 7], gripper -1 or 1."""
    generator = np.random.default_rng(record)
    values = generator.uniform(-0.9, 0.9, (count, 7)).astype(np.float32)
    values[:, 6] = np.where(np.arange(count) % 2, 1, -1)
    return values


def proprio(count: int, width: int = 7, record: int = 0) -> np.ndarray:
    return np.cumsum(np.full((count, width), 0.02), 0).astype(np.float32) + record


def libero(path: Path, demos: int = 3, steps: int = STEPS, size: int = SIZE) -> Path:
    """As LIBERO's conversion writes: OpenGL's pictures, rows of what each action led to, but for `states`, which are
    those before it."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["macros_image_convention"] = "opengl"
        data.attrs["problem_info"] = json.dumps({"language_instruction": "put the bowl on the plate"})
        data.attrs["env_args"] = json.dumps({"env_kwargs": {"control_freq": 20}})
        for number in range(demos):
            demo = data.create_group(f"demo_{number}")
            last = (np.arange(steps) == steps - 1).astype(np.uint8)
            demo["actions"] = actions(steps, number).astype(np.float64)
            demo["states"] = proprio(steps, 9, number).astype(np.float64)
            demo["rewards"] = demo["dones"] = last
            demo.create_dataset("obs/agentview_rgb", data=pictures(steps, number, size)[:, ::-1])
            for name, width in (("joint_states", 7), ("gripper_states", 2), ("ee_states", 6)):
                demo[f"obs/{name}"] = proprio(steps, width, number)
    return path


def robomimic(path: Path, demos: int = 2) -> Path:
    """As robomimic writes: upright pictures, rows of what each action was chosen from."""
    import h5py

    with h5py.File(path, "w") as file:
        for number in range(demos):
            demo = file.create_group(f"data/demo_{number}")
            demo["actions"] = actions(STEPS, number).astype(np.float64)
            demo["rewards"] = (np.arange(STEPS) == STEPS - 1).astype(np.float64)
            demo["obs/agentview_image"] = pictures(STEPS, number)
            demo["obs/robot0_joint_pos"] = proprio(STEPS, 7, number)
            demo["obs/robot0_gripper_qpos"] = proprio(STEPS, 2, number)
            demo["obs/robot0_eef_pos"] = proprio(STEPS, 3, number)
            demo["obs/robot0_eef_quat"] = proprio(STEPS, 4, number)
    return path


def video(path: Path, frames: np.ndarray, fps: int = 20) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12", "g": "2", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def overwrite(path: Path, number: int) -> None:
    """Destroys what a video's packet `number` holds, and nothing that says where it is."""
    import av

    with av.open(str(path)) as container:
        packet = [one for one in container.demux(video=0) if one.size][number]
        place, size = packet.pos, packet.size
    data = path.read_bytes()
    begin, end = place + 6, place + size  # behind length, kind and the first bits of the slice
    path.write_bytes(data[:begin] + b"\x5a" * (end - begin) + data[end:])


def turned(path: Path) -> None:
    """Says in a video that a player is to turn it by a quarter, as a telephone does."""
    data = path.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE << 16, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + quarter + data[at + len(quarter) :])


def video_folder(folder: Path, videos: int = 3, steps: int = STEPS) -> Path:
    lines = ["video,timestamp,instruction,success," + ",".join(f"action_{i}" for i in range(7))]
    for number in range(videos):
        video(folder / f"take_{number}.mp4", pictures(steps, number))
        for step, row in enumerate(actions(steps, number)):
            done = int(step == steps - 1 and number != 1)
            values = ",".join(repr(float(value)) for value in row)
            lines.append(f"take_{number}.mp4,{step / 20},{INSTRUCTION},{done},{values}")
    (folder / "actions.csv").write_text("\n".join(lines) + "\n")
    return folder


def lerobot(folder: Path, version: str = "v3.0", episodes: int = 3, steps: int = STEPS, fps: int = 20) -> Path:
    """As lerobot writes: v3.0 has all episodes in one Parquet file and one video, v2.1 a file of each an episode."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    key = "observation.images.top"
    layout = {
        "v3.0": (
            "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        ),
        "v2.1": (
            "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        ),
    }[version]
    scalars = {
        "timestamp": "float32",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
        "next.success": "bool",
    }
    features = {key: {"dtype": "video", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]}}
    features |= {name: {"dtype": "float32", "shape": [7], "names": None} for name in ("observation.state", "action")}
    features |= {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in scalars.items()}
    info = {
        "codebase_version": version,
        "fps": fps,
        "features": features,
        "data_path": layout[0],
        "video_path": layout[1],
        "total_episodes": episodes,
        "total_frames": episodes * steps,
        "chunks_size": 1000,
    }
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    (folder / "meta/info.json").write_text(json.dumps(info))
    tables = []
    for number in range(episodes):
        at = np.arange(steps)
        columns = {
            "observation.state": pa.array(list(proprio(steps, 7, number)), pa.list_(pa.float32(), 7)),
            "action": pa.array(list(actions(steps, number)), pa.list_(pa.float32(), 7)),
            "timestamp": pa.array((at / fps).astype(np.float32)),
            "frame_index": pa.array(at),
            "episode_index": pa.array(np.full(steps, number)),
            "index": pa.array(number * steps + at),
            "task_index": pa.array(np.zeros(steps, np.int64)),
            "next.success": pa.array(at == (steps - 1 if number != 1 else -1)),
        }
        tables.append(pa.table(columns))
    rows = [{"episode_index": number, "tasks": [INSTRUCTION], "length": steps} for number in range(episodes)]
    if version == "v2.1":
        for number, table in enumerate(tables):
            path = folder / layout[0].format(episode_chunk=0, episode_index=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
            where = layout[1].format(episode_chunk=0, episode_index=number, video_key=key)
            video(folder / where, pictures(steps, number), fps)
        (folder / "meta/episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder
    data = folder / layout[0].format(chunk_index=0, file_index=0)
    data.parent.mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), data)
    where = layout[1].format(chunk_index=0, file_index=0, video_key=key)
    video(folder / where, np.concatenate([pictures(steps, number) for number in range(episodes)]), fps)
    for row in rows:
        first = row["episode_index"] * steps
        row |= {"data/chunk_index": 0, "data/file_index": 0, "dataset_from_index": first}
        row |= {f"videos/{key}/{name}_index": 0 for name in ("chunk", "file")}
        row |= {f"videos/{key}/from_timestamp": first / fps, f"videos/{key}/to_timestamp": (first + steps) / fps}
    about = folder / "meta/episodes/chunk-000/file-000.parquet"
    about.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), about)
    return folder


def framed(data: bytes) -> bytes:
    """One TFRecord; the checksum from its definition, bit by bit, so that it does not repeat the reader's."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def rlds(folder: Path, episodes: int = 3, steps: int = STEPS) -> Path:
    """As TensorFlow Datasets writes an Open X-Embodiment dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"shape": {"dimensions": ["7"]}, "dtype": "float32", "encoding": "none"}
    features = {
        "action": {"tensor": shape},
        "reward": {"tensor": {"shape": {}, "dtype": "float32", "encoding": "none"}},
        "language_instruction": {"text": {}},
        "observation": {
            "featuresDict": {
                "features": {
                    "image": {"image": {"shape": {"dimensions": [str(SIZE), str(SIZE), "3"]}, "dtype": "uint8"}},
                    "state": {"tensor": shape},
                }
            }
        },
    }
    steps_of = {"sequence": {"feature": {"featuresDict": {"features": features}}}}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": {"steps": steps_of}}}))
    shard = folder / "robot-train.tfrecord-00000-of-00001"
    shard.write_bytes(b"".join(framed(example(number, steps)) for number in range(episodes)))
    return folder


def example(number: int, steps: int = STEPS) -> bytes:
    """A serialized tf.train.Example of one episode."""
    from worldvla.episodes.images import encode_image

    moves = actions(steps, number)
    moves[:, 6] = (moves[:, 6] + 1) / 2
    return message(
        {
            "steps/action": moves.ravel().tolist(),
            "steps/reward": [float(step == steps - 1) for step in range(steps)],
            "steps/language_instruction": [INSTRUCTION.encode()] * steps,
            "steps/observation/image": [encode_image(one) for one in pictures(steps, number)],
            "steps/observation/state": proprio(steps, 7, number).ravel().tolist(),
        }
    )


def message(features: dict[str, list]) -> bytes:
    """A tf.train.Example, written byte by byte as protocol buffers lay it out."""
    entries = b""
    for name, values in features.items():
        if isinstance(values[0], bytes):
            feature = _field(1, b"".join(_field(1, value) for value in values))
        else:
            feature = _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
        entries += _field(1, _field(1, name.encode()) + _field(2, feature))
    return _field(1, entries)


def _field(number: int, data: bytes) -> bytes:
    size, length = b"", len(data)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def _masked(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

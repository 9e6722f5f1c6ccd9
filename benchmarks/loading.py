"""`make benchmark-loading`: shuffled training windows from our tables, and from the formats that the field uses.

A window is 2 frames of history, the 8 that follow, 128 x 128, and 8 actions; what is counted is windows a second. Each
peer reads the same episodes with its own loader in an environment of its own; ours runs beside it, in turns of a few
seconds, so that other work on the machine meets both. Ratios are of neighbouring turns; value: their median;
interval: the lowest and the highest. Processor time, of all processes of a side, is what other work does not lengthen.
Cold: the files were dropped from the operating system's cache, and nothing is decoded yet. Warm: the files are in that
cache, and our loader's frames have been decoded as far as the cold turn came.

`python -m benchmarks.loading EPISODES` takes so many episodes a task.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.loading_data import TASKS, TURNS, Ingested, make
from benchmarks.loading_environment import PACKAGES
from benchmarks.loading_environment import make as make_environment
from benchmarks.loading_ours import BATCH
from benchmarks.result import figure, write
from worldvla.exchange.exporting.run import Video, export
from worldvla.exchange.exporting.selection import Selection, chosen
from worldvla.lake.episodes import episode_rows
from worldvla.lake.store import Lake

EPISODES_PER_TASK = 1
ROUNDS = 3
SECONDS = 2.5
WORKERS = (1, 2)
STATES = ("cold", "warm")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
SCRIPT = Path(__file__).parent / "loading_peers.py"
# What is read, by the name it has in the figures: the peer's reader, and at least how many times as fast ours must be.
PEERS = {
    "LeRobot, as it writes itself (AV1)": ("lerobot", 2.0),
    "LeRobot, as we export it (H.264)": ("lerobot-h264", 2.0),
    "HDF5, robomimic's layout": ("h5py", 1.0),
    "stable-worldmodel, Lance": ("swm-lance", 1.0),
    "stable-worldmodel, HDF5": ("swm-hdf5", 1.0),
    "stable-worldmodel, video": ("swm-video", 1.0),
}
BARE = "decoding alone"
LEAST_OF_BARE = 0.8
OURS = "ours"
ANEW = "ours, every window decoded anew"
# What runs in this project's environment beside our loader.
ALONE = {ANEW: "anew", BARE: "bare"}


@dataclass(frozen=True)
class Stored:
    """A dataset of one format: where, its bytes, frames a second of processor time of its writer, PSNR to what was
    rendered (dB)."""

    path: Path
    bytes: int
    ingest: float
    psnr: float


@dataclass(frozen=True)
class Turn:
    """What one side did in its turn: windows/s, and windows a second of processor time, of all its processes."""

    rate: float
    of_processor: float


def main() -> None:
    per_task = int(sys.argv[1]) if len(sys.argv) > 1 else EPISODES_PER_TASK
    python = make_environment()
    data = Path(tempfile.mkdtemp(prefix="worldvla-benchmark-"))
    load = os.getloadavg()[0]
    try:
        ingested = make(data, per_task)
        stored = {OURS: Stored(data / "lake", size(data / "lake"), ingested.frames_per_second, own_quality(data))}
        stored |= {name: build(python, kind, data) for name, (kind, _) in PEERS.items()}
        turns, beside = measured(python, data, stored)
        record(turns, beside, stored, ingested, per_task, load)
    finally:
        shutil.rmtree(data)


def record(
    turns: "Turns", beside: "Turns", stored: dict[str, Stored], ingested: Ingested, per_task: int, load: float
) -> None:
    """Writes the result and draws it."""
    protocol = {
        "window": "2 frames of history, 8 that follow, 128 x 128, 8 actions; batches of 32, shuffled over all",
        "frames": ingested.frames,
        "episodes": f"{ingested.episodes}: {per_task} of {len(TASKS)} ManiSkill tasks each, in {len(TURNS)} turns",
        "peers": ", ".join(PACKAGES) + "; read through torch's DataLoader, workers are processes",
        "ours": "simplejpeg (libjpeg-turbo); workers are threads; decoded frames in a sparse file, new in a cold turn",
        "turns": f"{ROUNDS} a side, worker count and state, of at most {SECONDS} seconds or one epoch, alternating",
        "cold": "the dataset's files dropped from the operating system's cache (posix_fadvise)",
        "processor time": "of all processes of a side: what other work on the machine does not lengthen",
        "quality": "as stored; 4:2:0 video and JPEG cannot reach that of our 4:4:4 JPEG, which costs us bytes",
        "cores": len(os.sched_getaffinity(0)),
        "load average before": round(load, 2),
    }
    print(write("loading", protocol, [*rate_figures(turns, beside), *storage_figures(stored)]))
    from benchmarks.loading_plot import draw

    draw({key: [one.rate for one in found] for key, found in (turns | of_ours(beside)).items()}, stored)


def build(python: Path, kind: str, data: Path) -> Stored:
    """Writes a peer's dataset: with the peer's own writer, or, of what it only reads, with our export."""
    out = data / kind
    if kind in ("lerobot-h264", "h5py"):
        lake = Lake(data / "lake")
        everything = Selection([{"episode_id": one} for one in episode_rows(lake)["episode_id"]], {}, {})
        begin = time.process_time()
        done = export(lake, chosen(lake, everything), "hdf5" if kind == "h5py" else "lerobot", out, Video())
        seconds = time.process_time() - begin
        quality = own_quality(data) if kind == "h5py" else asked(python, "quality", kind, data, out)["psnr"]
        return Stored(out, size(out), done.frames / seconds, quality)
    found = asked(python, "build", kind, data, out, *(["95"] if kind == "swm-lance" else []))
    return Stored(out, size(out), found["ingest"], found["psnr"])


def asked(python: Path, *arguments: object) -> dict[str, float]:
    command = [python, SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | OFFLINE, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments[:2]))} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


Key = tuple[str, int, str]  # name, workers, state
Turns = dict[Key, list[Turn]]


def measured(python: Path, data: Path, stored: dict[str, Stored]) -> tuple[Turns, Turns]:
    """The turns of every side, and, under the same keys, those of ours beside them."""
    turns: Turns = {}
    beside: Turns = {}
    own = [sys.executable, "-m", "benchmarks.loading_ours"]
    lake = data / "lake"
    sides: dict[str, tuple[Path, list[object]]] = {name: (lake, [*own, kind, data]) for name, kind in ALONE.items()}
    for name, (kind, _) in PEERS.items():
        path = stored[name].path
        sides[name] = path, [python, SCRIPT, "read", kind, data, path]
    with ExitStack() as stack:
        ours = stack.enter_context(session([*own, "cached", data]))
        # All start at once and then wait for their turns: importing a peer takes longer than its turns.
        sessions = {name: stack.enter_context(session(command)) for name, (_, command) in sides.items()}
        for reader in (ours, *sessions.values()):
            answer(reader)
        for number, workers, state, (name, peer) in product(range(ROUNDS), WORKERS, STATES, sessions.items()):
            one, other = turn(ours, lake, workers, state), turn(peer, sides[name][0], workers, state)
            beside.setdefault((name, workers, state), []).append(one)
            turns.setdefault((name, workers, state), []).append(other)
            print(f"{number}: {label(name, workers, state)}: {other.rate:.0f}, ours {one.rate:.0f}", file=sys.stderr)
    return turns, beside


@dataclass(frozen=True)
class Reader:
    """A process that answers, and the file of what it complains of."""

    command: str
    process: subprocess.Popen[str]
    errors: IO[str]


@contextmanager
def session(command: list[object]) -> Iterator[Reader]:
    """A process that says when it is ready, and then answers lines."""
    texts = [str(one) for one in command]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            texts,
            env=os.environ | OFFLINE,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Reader(" ".join(texts[:4]), process, errors)
        finally:
            process.stdin.close()
            process.wait()


def answer(reader: Reader) -> str:
    """The next line that is an answer; libraries print others."""
    for line in reader.process.stdout:
        if re.fullmatch(r"ready|\d+ [\d.e-]+", word := line.strip()):
            return word
    reader.errors.seek(0)
    raise SystemExit(f"{reader.command} died:\n{reader.errors.read()[-3000:]}")


def turn(reader: Reader, path: Path, workers: int, state: str) -> Turn:
    """A turn, after its files were dropped from the cache or read into it."""
    for file in path.rglob("*"):
        if file.is_file():
            if state == "cold":
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                file.read_bytes()
    begin = processor_seconds(reader.process)
    reader.process.stdin.write(f"{state} {workers} {SECONDS}\n")
    reader.process.stdin.flush()
    windows, seconds = map(float, answer(reader).split())
    # The first batch, which the clock does not see, cost processor time too.
    return Turn(windows / seconds, (windows + BATCH) / (processor_seconds(reader.process) - begin))


def processor_seconds(process: subprocess.Popen) -> float:
    import psutil

    root = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def own_quality(data: Path) -> float:
    """PSNR of what is stored to what was rendered, dB; a robomimic file holds the same pixels."""
    source, kept = (
        np.load(data / name, mmap_mode="r", allow_pickle=False)[:400].astype(float)
        for name in ("source.npy", "stored.npy")
    )
    return float(10 * np.log10(255**2 / np.mean((source - kept) ** 2)))


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def rate_figures(turns: Turns, beside: Turns) -> list[dict]:
    """Windows/s of every side; how many times as fast ours was, by the clock and by processor time."""
    figures = []
    for (name, workers, state), found in (turns | of_ours(beside)).items():
        rates = [one.rate for one in found]
        figures.append(
            figure(label(name, workers, state), statistics.median(rates), "windows/s", len(rates), ends(rates))
        )
    for key, theirs in turns.items():
        name, *_ = key
        target = PEERS[name][1] if name in PEERS else LEAST_OF_BARE if name == BARE else None
        what = label(f"ours over {name.removeprefix('ours, ')}", *key[1:])
        by_clock = [one.rate / other.rate for one, other in zip(beside[key], theirs, strict=True)]
        figures.append(
            figure(what, statistics.median(by_clock), "times", len(by_clock), ends(by_clock), at_least=target)
        )
        by_work = [one.of_processor / other.of_processor for one, other in zip(beside[key], theirs, strict=True)]
        what += ", by processor time"
        figures.append(figure(what, statistics.median(by_work), "times", len(by_work), ends(by_work), at_least=target))
    for workers, state in product(WORKERS, STATES):
        anew, bare = (
            statistics.median(one.of_processor for one in turns[name, workers, state]) for name in (ANEW, BARE)
        )
        what = label(f"every window decoded anew over {BARE}", workers, state) + ", by processor time"
        figures.append(figure(what, anew / bare, "times", ROUNDS, at_least=LEAST_OF_BARE))
    return figures


def of_ours(beside: Turns) -> Turns:
    """All turns of ours, by workers and state."""
    found: Turns = {}
    for (_, workers, state), turns in beside.items():
        found.setdefault((OURS, workers, state), []).extend(turns)
    return found


def label(name: str, workers: int, state: str) -> str:
    return f"{name}, {state}, {workers} worker{'s' if workers > 1 else ''}"


def ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def storage_figures(stored: dict[str, Stored]) -> list[dict]:
    figures = []
    for name, one in stored.items():
        figures.append(figure(f"{name}, on disk", one.bytes / 2**20, "MiB"))
        figures.append(figure(f"{name}, ingest", one.ingest, "frames a second of processor time"))
        figures.append(figure(f"{name}, PSNR to the rendered frames", one.psnr, "dB"))
    return figures


if __name__ == "__main__":
    main()

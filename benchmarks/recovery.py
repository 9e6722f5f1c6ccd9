"""`make benchmark-recovery`: what `kill -9`, many writers at once and a full disk do to the lake.

A tiny loop (`--campaign test`) is killed at random moments of a fixed seed and the same command
given again, until it has been killed 50 times; a loop that ends meanwhile is compared, node by
node, with one that nobody disturbed, and begun anew. After every kill the lake is looked
through for rows doubled and content half-written. Then 8 processes record the same and
different episodes, and a writer fills a small file system.
`python -m benchmarks.recovery KILLS MINUTES` stops after fewer kills, or once the time is up.
"""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl

from benchmarks.result import figure, write
from tests.factories import synthetic_episode
from tests.lake.small_disk import small_disk
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import load_bank, write_episodes
from worldvla.lake.materializations import latest
from worldvla.lake.models import read_model
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.planner.graph import GRAPH
from worldvla.planner.recall import is_whole

CAMPAIGN = "test"
KILLS = 50
SEED = 20261121
# A start lives at most for this share of the processor time of an undisturbed loop: other work on the machine stretches
# the clock, not that. A third of it goes on reaching the asset; the longest asset must fit in what is left, or no start
# would ever complete it.
LONGEST_LIFE = 0.35
WRITERS = 8
COMMIT = Commit("benchmark", "demonstrations", CAMPAIGN)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    folder = Path(tempfile.mkdtemp(prefix="worldvla-recovery-"))
    try:
        figures = [*loop_figures(folder, kills, minutes), *writer_figures(folder / "writers"), *disk_figures(folder)]
    finally:
        shutil.rmtree(folder)
    protocol = {
        "campaign": CAMPAIGN,
        "iterations": 1,
        "seed": SEED,
        "moment of a kill": f"uniform in 0 to {LONGEST_LIFE:g} of the undisturbed loop's processor time after a start",
        "killed": "by equal chance the command, the run it started, or all their processes at once",
        "writers": WRITERS,
    }
    print(write("recovery", protocol, figures))


def loop_figures(folder: Path, kills: int, minutes: float) -> list[dict]:
    """A loop killed again and again against one that was not."""
    calm = folder / "calm"
    begin = time.monotonic()
    process = start(calm)
    cost = watch(process)
    assert process.returncode == 0, "the undisturbed loop failed"
    undisturbed = time.monotonic() - begin
    wanted = {node: record.data_version for node, record in latest(Lake(calm / "lake")).items()}
    chance = random.Random(SEED)
    fallen: Counter[str] = Counter()
    found: Counter[str] = Counter()
    rounds, failed, done = 0, 0, 0
    deadline = time.monotonic() + 60 * minutes
    while (done < kills and time.monotonic() < deadline) or rounds == 0:
        rounds += 1
        home = folder / f"killed-{rounds}"
        completed = False
        while not completed:
            due = done < kills and time.monotonic() < deadline
            status = lived(home, chance, LONGEST_LIFE * cost) if due else start(home).wait()
            if status == 0:
                completed = True
            elif status is None:
                done += 1
                fallen[under_way(home)] += 1
                print(f"kill {done}: {under_way(home)}", file=sys.stderr, flush=True)
            else:
                failed += 1
                assert failed < 5, f"the restarted loop ended with status {status}"
            found.update(faults(Lake(home / "lake")))
        found.update(lost(home, calm, wanted))
        shutil.rmtree(home)
    return [
        figure("kills survived", done - failed, "kills", n=done, at_least=KILLS),
        figure("loops completed under kills", rounds, "loops"),
        figure("nodes with other data than undisturbed", found["different"], "nodes", at_most=0),
        figure("rows lost", found["lost"], "rows", at_most=0),
        figure("rows doubled", found["doubled"], "rows", at_most=0),
        figure("episodes, models or publications half-written", found["half-written"], "items", at_most=0),
        figure("assets during which a kill fell", len(fallen), "assets", n=len(wanted)),
        figure("undisturbed loop", undisturbed, "seconds"),
        figure("undisturbed loop, processor time", cost, "seconds"),
    ]


def start(home: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "worldvla.cli.main", "loop", "--campaign", CAMPAIGN, "--iterations", "1"]
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "WORLDVLA_LAKE")}
    environment |= {"WORLDVLA_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def lived(home: Path, chance: random.Random, longest: float) -> int | None:
    """Starts the loop and kills it at a random moment; its exit status, None when it was killed."""
    process = start(home)
    victim = chance.choice(("command", "run", "all"))
    watch(process, chance.uniform(0, longest))
    if process.returncode is not None:
        return process.returncode
    runs = children(process.pid)
    if victim == "run" and runs:
        os.kill(runs[0], signal.SIGKILL)
        process.wait()
        return None
    if victim == "all":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return None


def watch(process: subprocess.Popen, until: float = float("inf")) -> float:
    """Waits until the command ends or its processes have taken `until` seconds of the processor; returns that."""
    spent = 0.0
    while process.poll() is None and spent < until:
        spent = max(spent, processor_seconds(process.pid))
        time.sleep(0.2)
    return spent


def processor_seconds(session: int) -> float:
    """Processor time of all processes of a session, those included that have ended and been waited for."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def under_way(home: Path) -> str:
    """The first asset that is not published: the kill fell into its making, or its run's start."""
    lake = Lake(home / "lake")
    made = {asset for asset, _, _ in latest(lake)} if lake.exists("materializations") else set()
    return next((name for name, node in GRAPH.items() if name not in made and not node.feedback_from), "the end")


def faults(lake: Lake) -> dict[str, int]:
    """Rows whose key another row has, and content that is there in part."""
    there = [table for table in TABLES if lake.exists(table)]
    doubled = sum(
        frame.height - frame.unique().height
        for frame in (lake.frame(table, list(TABLES[table].keys)) for table in there if TABLES[table].keys)
    )
    half = 0
    if "episodes" in there:
        frames = lake.frame("frames", ["episode_id", "step"]).group_by("episode_id").len("frames")
        counted = lake.frame("episodes", ["episode_id", "length"]).join(frames, on="episode_id", how="left")
        half += counted.filter(pl.col("frames").fill_null(0) != pl.col("length") + 1).height
    for model_id in lake.frame("models", ["model_id"])["model_id"] if "models" in there else ():
        half += not readable(lake, model_id)
    if "materializations" in there:
        half += sum(not is_whole(lake, record) for record in latest(lake).values())
    return {"doubled": doubled, "half-written": half}


def readable(lake: Lake, model_id: str) -> bool:
    try:
        read_model(lake, model_id)
    except UserError:
        return False
    return True


def lost(home: Path, calm: Path, wanted: dict) -> dict[str, int]:
    """Nodes that came out otherwise than undisturbed, and keys of the undisturbed lake that are missing."""
    lake, other = Lake(home / "lake"), Lake(calm / "lake")
    made = {node: record.data_version for node, record in latest(lake).items()}
    rows = sum(
        other.frame(table, list(spec.keys)).join(lake.frame(table, list(spec.keys)), on=spec.keys, how="anti").height
        for table, spec in TABLES.items()
        if spec.keys and other.exists(table)
    )
    return {"different": sum(made.get(node) != version for node, version in wanted.items()), "lost": rows}


def writer_figures(root: Path) -> list[dict]:
    """8 processes that each record 40 episodes all have and 40 of their own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS)
    begin = time.monotonic()
    writers = [context.Process(target=record_many, args=(str(root), number, barrier)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not any(writer.exitcode for writer in writers), "a writer failed"
    seconds = time.monotonic() - begin
    lake = Lake(root)
    wanted = {synthetic_episode(seed).episode_id for number in range(WRITERS) for seed in seeds_of(number)}
    there = lake.frame("episodes", ["episode_id"])["episode_id"]
    load_bank(lake, sorted(wanted), 8)
    return [
        figure("8 writers: episodes lost", len(wanted - set(there)), "episodes", n=len(wanted), at_most=0),
        figure("8 writers: rows doubled", faults(lake)["doubled"], "rows", at_most=0),
        figure("8 writers", seconds, "seconds"),
    ]


def seeds_of(writer: int) -> list[int]:
    return [*range(40), *range(1000 * (writer + 1), 1000 * (writer + 1) + 40)]


def record_many(root: str, writer: int, barrier) -> None:
    barrier.wait()
    write_episodes(Lake(Path(root)), (synthetic_episode(seed) for seed in seeds_of(writer)), COMMIT, batch=8)


def disk_figures(folder: Path) -> list[dict]:
    """Episodes recorded until a file system of 2 MiB is full, then with room again."""
    with small_disk(folder / "small", mebibytes=2) as grow:
        lake = Lake(folder / "small" / "lake")
        episodes = [synthetic_episode(seed, length=40, size=64) for seed in range(30)]
        try:
            write_episodes(lake, episodes, COMMIT, batch=2)
            raise AssertionError("30 episodes fit on 2 MiB")
        except UserError as error:
            named = str(folder / "small") in str(error)
        found = faults(lake)
        before = lake.read("episodes").num_rows
        grow(64)
        write_episodes(lake, episodes, COMMIT, batch=2)
        lacking = len(episodes) - lake.read("episodes").num_rows
    return [
        figure("full disk: episodes whole before the error", before, "episodes"),
        figure("full disk: episodes half-written", found["half-written"] + found["doubled"], "episodes", at_most=0),
        figure("full disk: the error names the file system", float(named), "", at_least=1),
        figure("full disk: episodes missing once there is room", lacking, "episodes", at_most=0),
    ]


if __name__ == "__main__":
    main()

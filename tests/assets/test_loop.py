"""The loop for real, at the smallest scale: two iterations from the command line, killed on the way.

One home is killed with SIGKILL at several moments and goes on each time; another runs its
first iteration undisturbed. What both published must be the same content, which shows at
once that training resumes to the same weights, that nothing is lost or doubled, and that
the same seed and code give the same digests.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from benchmarks.campaign_evidence import look
from benchmarks.limits import limits
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.lake.episodes import episode_rows, set_members
from worldvla.lake.materializations import history, latest
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.planner.feedback import NOTHING, extend
from worldvla.planner.graph import GRAPH

pytestmark = pytest.mark.slow

CAMPAIGN = "test"
LOOP = ("loop", "--campaign", CAMPAIGN, "--iterations", "2", "--json")
# Kill once this many nodes are published, after so many more seconds: in collection, training, iteration 0 and 1.
KILLS = ((0, 4.0), (2, 2.0), (5, 3.0), (9, 2.0), (13, 4.0), (19, 3.0))


def command(home: Path, *arguments: str, project: Path | None = None) -> subprocess.Popen:
    environment = {**os.environ, "WORLDVLA_HOME": str(home)}
    environment.pop("DAGSTER_HOME", None)
    return subprocess.Popen(
        [sys.executable, "-m", "worldvla.cli.main", *arguments],
        cwd=project or project_root(),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(home: Path, *arguments: str, project: Path | None = None) -> list[dict]:
    """The command's JSON; it must succeed and print nothing else."""
    process = command(home, *arguments, project=project)
    out, err = process.communicate(timeout=1200)
    assert process.returncode == 0, err[-4000:]
    return json.loads(out)


def published(home: Path) -> int:
    lake = Lake(home / "lake")
    return len(history(lake)) if lake.exists("materializations") else 0


def start_and_kill(home: Path, after: int, delay: float) -> None:
    """Starts the loop and kills it and all it started, once `after` nodes are published and `delay` has passed."""
    process = command(home, *LOOP)
    try:
        while published(home) < after and process.poll() is None:
            time.sleep(0.2)
        time.sleep(delay)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("killed")
    for after, delay in KILLS:
        start_and_kill(home, after, delay)
    progress = run(home, *LOOP)
    assert [row["iteration"] for row in progress] == ["0000", "0001"]
    return home


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    run(home, "loop", "--campaign", CAMPAIGN, "--iterations", "1", "--json")
    return home


def versions(home: Path) -> dict[tuple[str, str, str], str]:
    return {key: record.data_version for key, record in latest(Lake(home / "lake")).items()}


def test_killed_or_not_the_content_is_the_same(killed, undisturbed):
    expected = versions(undisturbed)
    assert {asset for asset, _, _ in expected} == {name for name, node in GRAPH.items() if not node.feedback_from}
    assert {key: version for key, version in versions(killed).items() if key in expected} == expected


def test_nothing_is_lost_doubled_or_half_written(killed):
    lake = Lake(killed / "lake")
    for name, table in TABLES.items():
        if table.keys and lake.exists(name):
            keys = lake.frame(name, list(table.keys))
            assert keys.is_unique().all(), name
    episodes = lake.frame("episodes", ["episode_id", "length"])
    frames = lake.frame("frames", ["episode_id", "step"]).group_by("episode_id").agg(pl.len(), pl.col("step").max())
    whole = episodes.join(frames, on="episode_id", how="left")
    assert (whole["len"] == whole["length"] + 1).all() and (whole["step"] == whole["length"]).all()
    members = lake.frame("episode_sets", ["episode_id"])
    assert members.join(episodes, on="episode_id", how="anti").is_empty()


def test_exploration_goes_from_every_state_at_every_temperature(undisturbed):
    lake = Lake(undisturbed / "lake")
    record = latest(lake)["exploration_rollouts", CAMPAIGN, ""]
    members = lake.frame("episode_sets", where=f"set_version = '{record.data_version}'").select("episode_id")
    episodes = lake.frame("episodes", ["episode_id", "seed", "settings"]).join(members, on="episode_id")
    seen = episodes.select("seed", pl.col("settings").str.json_path_match("$.temperature").cast(float))
    # The hot ones in concert.
    in_concert = episodes["settings"].str.contains("coherence")
    assert (in_concert == (seen["settings"] == 1.0)).all()
    assert sorted(seen.rows()) == [(seed, at) for seed in (seen["seed"].min(), seen["seed"].max()) for at in (0.6, 1.0)]


def test_what_limits_a_loop_is_taken_apart(undisturbed):
    lake, config = Lake(undisturbed / "lake"), campaigns.load(CAMPAIGN)
    protocol, figures = limits(look(lake, {CAMPAIGN: 1}), config, CAMPAIGN, "0000", episodes=4, rollouts=2, seeds=2)
    [task] = config.scene.tasks
    n = {one["name"]: one["n"] for one in figures}
    for policy in ("base_policy", "rl_policy"):
        assert protocol["assets"][policy] == versions(undisturbed)[policy, CAMPAIGN, "0000" if policy[0] == "r" else ""]
        assert n[f"{task}, {policy}: succeeds on tuning seeds"] == 2
        for who in ("reward head", "judge", "both"):
            assert n[f"{task}, {policy}, by {who}: told right"] == 2 * n[f"{task}, imagined: PSNR"] > 0
    assert n[f"first {config.rl.updates} updates: groups whose outcomes differ"] == config.rl.updates * config.rl.groups
    with pytest.raises(UserError, match="test 0001 has no fresh sans, world_model"):
        limits(look(lake, {CAMPAIGN: 2}), config, CAMPAIGN, "0001", episodes=4, rollouts=2, seeds=2)


def test_everything_is_fresh_and_a_second_loop_runs_nothing(killed):
    states = run(killed, "status", "--json")
    assert {row["state"] for row in states} == {"fresh"}
    before = published(killed)
    begin = time.monotonic()
    run(killed, *LOOP)
    assert published(killed) == before and time.monotonic() - begin < 30


def test_the_next_world_model_trained_on_exactly_the_published_rollouts(killed):
    lake = Lake(killed / "lake")
    first, rollouts = (latest(lake)[asset, CAMPAIGN, "0000"] for asset in ("failure_rollouts", "policy_rollouts"))
    sent = set(lake.frame("episode_sets", where=f"set_version = '{first.data_version}'")["episode_id"])
    policy = latest(lake)["rl_policy", CAMPAIGN, "0000"].data_version
    rows = run(killed, "audit", "failures_that_trained", "--model", f"{CAMPAIGN}/0001", "--json")
    assert {row["episode_id"] for row in rows} == sent and len(rows) == len(sent) == first.details["episodes"] > 0
    assert {(row["policy_id"], row["iteration"]) for row in rows} == {(policy, "0000")}
    assert run(killed, "audit", "failures_that_trained", "--model", f"{CAMPAIGN}/0000", "--json") == []
    model = latest(lake)["world_model", CAMPAIGN, "0001"].data_version
    taught = lake.frame("training_membership", ["episode_id"], f"model_id = '{model}'")["episode_id"]
    everything = lake.frame("episode_sets", ["episode_id"], f"set_version = '{rollouts.data_version}'")["episode_id"]
    assert sent <= set(everything) <= set(taught)


def test_what_comes_back_was_acted_under_every_noise_from_the_same_initial_states(killed):
    collection, lake = campaigns.load(CAMPAIGN).collection, Lake(killed / "lake")
    record = latest(lake)["policy_rollouts", CAMPAIGN, "0000"]
    rows = episode_rows(lake, set_members(lake, record.data_version))
    # A hand that barely learned may be pressed against its limits for a whole episode, which quality rules refuse.
    assert len(rows) + len(record.details.get("quarantined", ())) == collection.rollouts
    assert rows["seed"].n_unique() == collection.per_task and rows["settings"].n_unique() == len(collection.noises) == 2


def test_the_next_policy_reads_the_first(killed):
    first, second = (latest(Lake(killed / "lake"))["rl_policy", CAMPAIGN, one] for one in ("0000", "0001"))
    assert first.parents["incoming_policy"] == NOTHING
    assert second.parents["incoming_policy"] == extend(NOTHING, first.data_version)


def test_a_touched_code_version_is_mended_and_the_same_content_stops_there(killed, tmp_path):
    project = tmp_path / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "worldvla", "assets", "pipelines", "sql", "dagster.yaml"],
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=True,
    )
    for name in tracked.stdout.splitlines():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_root() / name, project / name)
    graph = project / "worldvla" / "planner" / "graph.py"
    before, after = '("raw_episodes", "incoming_rollouts"), "3"', '("raw_episodes", "incoming_rollouts"), "4"'
    assert graph.read_text().count(before) == 1
    graph.write_text(graph.read_text().replace(before, after))

    stale = {
        (row["asset"], row["iteration"]): row["reason"]
        for row in run(killed, "status", "--json", project=project)
        if row["state"] == "stale"
    }
    downstream = {"sans"}
    while grown := {n.name for n in GRAPH.values() if downstream & set(n.parents)} - downstream:
        downstream |= grown
    both = {(asset, iteration) for asset in downstream for iteration in ("0000", "0001")}
    assert set(stale) == both | {("incoming_rollouts", "0001"), ("incoming_policy", "0001")}
    assert stale["sans", "0000"] == stale["sans", "0001"] == "code version 3 → 4"
    assert "sans is stale (code version 3 → 4)" in stale["world_model", "0001"]
    assert "sans[0000] is stale" in stale["incoming_rollouts", "0001"]

    old = versions(killed)
    planned = run(killed, "rematerialize", "--dry-run", "--json", project=project)
    assert {(row["asset"], row["iteration"]) for row in planned} == both
    run(killed, "rematerialize", "--json", project=project)
    assert versions(killed) == old
    assert {row["state"] for row in run(killed, "status", "--json", project=project)} == {"fresh"}


def test_a_deleted_episode_is_recorded_anew(killed):
    lake = Lake(killed / "lake")
    # The touched project's run left sans with another code version: settle that first.
    run(killed, "rematerialize", "--json")
    demonstrations = latest(lake)["demonstrations", CAMPAIGN, ""]
    victim = lake.frame("episode_sets", where=f"set_version = '{demonstrations.data_version}'")["episode_id"][0]
    row = lake.frame("episodes", where=f"episode_id = '{victim}'").to_dicts()
    lake.delete("episodes", f"episode_id = '{victim}'")

    states = {(r["asset"], r["iteration"]): r for r in run(killed, "status", "--json")}
    assert states["demonstrations", None]["state"] == "stale" and victim in states["demonstrations", None]["reason"]
    assert victim in states["sans", "0001"]["reason"] and states["iteration_record", "0001"]["state"] == "stale"
    old = versions(killed)
    run(killed, "rematerialize", "--json")
    assert {r["state"] for r in run(killed, "status", "--json")} == {"fresh"}
    assert versions(killed) == old
    assert lake.frame("episodes", where=f"episode_id = '{victim}'").to_dicts() == row


def test_a_second_loop_of_the_campaign_is_refused(killed, tmp_path):
    from worldvla.locks import campaign_lock

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDVLA_HOME", str(killed))
        with campaign_lock(CAMPAIGN):
            process = command(killed, *LOOP)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and not out
    assert f"process {os.getpid()}" in err and "Traceback" not in err


def test_controls_are_campaigns_that_share_what_they_can(killed):
    """The policy fine-tuned on the same real episodes, and the judge's word as the reward: all before is taken over."""
    lake = Lake(killed / "lake")
    run(killed, "rematerialize", "--campaign", CAMPAIGN, "--json")
    trained = ["base_policy", "autoencoder", "embodiment", "pretrained_world_model", "judge", "world_model"]
    shared = [*trained, "raw_episodes", "sans", "keyframes"]
    made = {}
    controls = {"supervised": ["rl.method=supervised"], "judged": ["rl.reward=judge", "rl.probe.every=0"]}
    for name, changed in controls.items():
        settings = [word for one in changed for word in ("--set", one)]
        run(killed, "loop", "--campaign", CAMPAIGN, *settings, "--name", name, "--iterations", "1", "--json")
        records = latest(lake)
        for asset in shared:
            iteration = "0000" if GRAPH[asset].scope == "iteration" else ""
            ours, theirs = records[asset, name, iteration], records[asset, CAMPAIGN, iteration]
            assert (ours.data_version, ours.fingerprint) == (theirs.data_version, theirs.fingerprint)
        made[name] = records["rl_policy", name, "0000"]
    assert made["supervised"].imagined_steps == 0 < made["judged"].imagined_steps
    assert made["supervised"].details["episodes"] > 0
    assert latest(lake)["evaluation", "supervised", "0000"].details["exploitation"] is None
    spent = {(row["campaign"], row["iteration"]): row for row in run(killed, "audit", "interaction", "--json")}
    # Only probes take steps; all else they spent is the same.
    probed = records["rl_policy", CAMPAIGN, "0000"].real_steps
    assert probed > 0 == made["supervised"].real_steps == made["judged"].real_steps
    assert made["judged"].details["probes"] == [] and made["judged"].details["stopped"] is None
    whole = spent[CAMPAIGN, "0000"]["real_steps"]
    assert spent["supervised", "0000"]["real_steps"] == spent["judged", "0000"]["real_steps"] == whole - probed > 0

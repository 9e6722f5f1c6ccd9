"""SANS: success, near-success and failure, by a rule that a row can be audited against.

World-VLA-Loop (arXiv 2602.06508) trains its world model on Success And Near-Success
trajectories, and no source says what near-success is. Here it is a statement about the
simulator's privileged state, never about pictures or about a model's opinion:

    success        some recorded state is a success
    near_success   none is, and the best progress of any state is >= near_success_progress
    failure        none is, and the best progress stays below that

*Best*, not final, progress: what a world model must learn from a near-success is how the
scene looks and moves where outcomes part, and an episode that came close and then lost the
object (a cube pushed past its goal, a stack toppled) passed there as surely as one that ran
out of time. Progress, not distance: the simulator defines it per task in [0, 1] with 1 for
success alone, so one threshold speaks of all tasks. The threshold lies above what reaching
the object earns by itself (0.2 in `worldvla.sim.tabletop`): a near-success has moved the
object, and at the default of 0.5 it has moved it about 40 % of the way.

A success whose last state is none (`final_progress` < 1) is still a success, because
an outcome anywhere in this project means *any state*; the rule text says that it was lost.

Every number that decided is a column of the row (`success_frames`, `best_progress` and its
step, `final_progress`, `threshold`) and `rule` says in words how, so a row can be checked
without this code: see `sql/near_success.sql`.

Curation yields membership rows, never copies. Episodes of identical content (recorded twice,
under two sources) would be counted twice in training: one row stands for all of them, the
one of the earliest origin, and its rule names the others.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from worldvla.config import Curation, Drawn, Label
from worldvla.curation.splits import split_of

LABELS: tuple[Label, ...] = ("success", "near_success", "failure")
FEEDBACK: Drawn = "feedback"
ORIGINS = (
    "demonstrations",
    "perturbed_demonstrations",
    "exploration_rollouts",
    "open_loop_replays",
    "imported_episodes",
    FEEDBACK,
)

Origin = tuple[str, str | None]  # origin, and for feedback the iteration whose policy produced it


def curate(episode_rows: pl.DataFrame, origins: Mapping[str, Origin], curation: Curation) -> list[dict]:
    """Rows of table `sans` without `sans_version`, by episode id; the order of the input is no matter.

    `episode_rows` are rows of table `episodes`; `origins` says of each how it came into
    this iteration. Raises KeyError for an episode without an origin.
    """
    rows = {row["episode_id"]: row for row in episode_rows.iter_rows(named=True)}
    groups: dict[str, list[str]] = {}
    for episode_id in sorted(rows, key=lambda episode_id: _precedence(episode_id, origins[episode_id])):
        groups.setdefault(rows[episode_id]["content_digest"], []).append(episode_id)
    curated = []
    for kept, *duplicates in groups.values():
        row, (origin, origin_iteration) = rows[kept], origins[kept]
        label, rule = judge_outcome(row, curation.near_success_progress)
        if duplicates:
            rule += f"; stands for {len(duplicates)} more of the same content: {', '.join(duplicates)}"
        curated.append(
            {
                "episode_id": kept,
                "split": split_of(row["initial_state_digest"], curation),
                "label": label,
                "rule": rule,
                "success_frames": row["success_frames"],
                "best_progress": row["best_progress"],
                "best_progress_step": row["best_progress_step"],
                "final_progress": row["final_progress"],
                "threshold": curation.near_success_progress,
                "origin": origin,
                "origin_iteration": origin_iteration,
                "policy_id": row["policy_id"],
            }
        )
    return sorted(curated, key=lambda row: row["episode_id"])


def judge_outcome(row: Mapping, threshold: float) -> tuple[Label, str]:
    """The label of an episode row and the rule, in words with numbers, that gave it."""
    states = row["length"] + 1
    if row["success_frames"] > 0:
        kept = "the last state is one" if row["final_success"] else "the last state is none"
        return "success", f"success: {row['success_frames']} of {states} states are successes, {kept}"
    best, step = row["best_progress"], row["best_progress_step"]
    # Of the precision that both have in their tables: 0.7 is less there, and progress of 0.7 reaches it.
    threshold = float(np.float32(threshold))
    measured = f"no state of {states} is a success, best progress {best:.3f} at step {step}"
    if best >= threshold:
        return "near_success", f"near_success: {measured} >= {threshold:g}"
    return "failure", f"failure: {measured} < {threshold:g}"


def learned_from(episode_rows: pl.DataFrame, curation: Curation) -> pl.DataFrame:
    """The rows of table `episodes` that models train on: of the training split, and no label that is excluded."""
    wanted = [
        split_of(row["initial_state_digest"], curation) == "train"
        and judge_outcome(row, curation.near_success_progress)[0] not in curation.exclude
        for row in episode_rows.iter_rows(named=True)
    ]
    return episode_rows.filter(pl.Series(wanted, dtype=pl.Boolean))


def drawn_by(rows: pl.DataFrame, sampling: Mapping[Drawn, float]) -> list[Drawn]:
    """What decides how often windows of each of these rows of table `sans` are drawn: its label, or, where `sampling`
    gives that a share, that it came back."""
    back = pl.col("origin").eq(FEEDBACK) & pl.lit(FEEDBACK in sampling)
    return rows.select(pl.when(back).then(pl.lit(FEEDBACK)).otherwise("label")).to_series().to_list()


def _precedence(episode_id: str, origin: Origin) -> tuple[int, str, str]:
    name, iteration = origin
    return ORIGINS.index(name), iteration or "", episode_id

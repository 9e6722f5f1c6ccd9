"""Keyframes: where imagined rollouts start.

WoVR's keyframe-initialized rollouts (KIR, arXiv 2602.13977) start some rollouts near the
failures of the policy, so that fewer imagined steps lie between start and outcome. It
does not say how the moments are found; here a failure's moment is the one `lead` actions
before its best progress, where the attempt can still be turned.
"""

from collections.abc import Iterable, Mapping

START = "start"
NEAR_FAILURE = "near_failure"


def choose(sans: Iterable[Mapping], lead: int, chunk: int) -> list[dict]:
    """Rows (episode_id, step, kind, task) for the training split, ordered by (episode_id, step).

    `sans` are rows with `episode_id`, `task`, `split`, `label` and `best_progress_step`.
    Every episode gives its first frame as `start`; one that is no success gives also the
    frame `lead` actions before its best progress as `near_failure`, moved back to where a
    chunk begins, unless that is the first frame.
    """
    rows = []
    for row in sans:
        if row["split"] != "train":
            continue
        rows.append({"episode_id": row["episode_id"], "step": 0, "kind": START, "task": row["task"]})
        step = (row["best_progress_step"] - lead) // chunk * chunk
        if row["label"] != "success" and step > 0:
            rows.append({"episode_id": row["episode_id"], "step": step, "kind": NEAR_FAILURE, "task": row["task"]})
    return sorted(rows, key=lambda row: (row["episode_id"], row["step"]))

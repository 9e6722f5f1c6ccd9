"""What a report tells: read from the lake, nothing computed anew but the wording."""

import base64
from dataclasses import dataclass, field
from typing import Any

from worldvla.errors import UserError
from worldvla.lake.materializations import Materialization, latest
from worldvla.lake.query import run_audit
from worldvla.lake.store import Lake, quoted
from worldvla.planner.graph import GRAPH
from worldvla.planner.observe import snapshot
from worldvla.planner.state import NodeState

MEDIA_COLUMNS = [
    "episode_id",
    "task",
    "true_success",
    "reward_success",
    "judged_success_imagined",
    "psnr_last",
    "strip",
    "video",
]
LINEAGE_ROWS = 40


@dataclass(frozen=True)
class IterationContents:
    """One iteration; what it has not reached is None or empty."""

    iteration: str
    progress: dict[str, Any]
    alignment: dict | None = None
    alignment_protocol: dict | None = None
    gate_failure: str | None = None
    media: list[dict] = field(default_factory=list)
    rl_history: list[dict] = field(default_factory=list)
    probes: list[dict] = field(default_factory=list)
    kept: int | None = None  # updates of the policy that the probes chose
    imagined: dict | None = None
    evaluation: dict | None = None


@dataclass(frozen=True)
class Contents:
    campaign: str
    progress: list[dict]
    iterations: list[IterationContents]
    budgets: list[dict]
    lineage: list[dict]
    lineage_of: str | None
    states: list[NodeState] | None  # of what was made; None where the campaign's configuration cannot be read

    @property
    def stale(self) -> list[NodeState]:
        """What was made by other code, settings or data than today's, upstream first."""
        return [state for state in self.states or () if state.state == "stale"]

    def stale_in(self, iteration: str) -> int:
        """How many assets of an iteration are stale."""
        return sum(1 for state in self.stale if state.iteration == iteration)

    @property
    def last_compared(self) -> IterationContents | None:
        """The latest iteration whose policy was evaluated."""
        return next((one for one in reversed(self.iterations) if one.evaluation), None)


def collect(lake: Lake, campaign: str) -> Contents:
    """Everything the page shows; raises UserError when nothing of the campaign was materialized."""
    progress = run_audit(lake, "loop_progress", {"campaign": campaign}).to_dicts()
    current = {node[0::2]: record for node, record in latest(lake).items() if node[1] == campaign}
    iterations = [_iteration(lake, current, row) for row in progress]
    policies = [current[key] for key in sorted(current, key=lambda key: key[1]) if key[0] == "rl_policy"]
    newest = policies[-1] if policies else None
    return Contents(
        campaign,
        progress,
        iterations,
        _budgets(current),
        _lineage(lake, newest),
        newest.data_version if newest else None,
        _states(lake, campaign),
    )


def _states(lake: Lake, campaign: str) -> list[NodeState] | None:
    try:
        states = snapshot(lake, [campaign]).assess()
    except UserError:
        return None
    return [state for state in states if state.state != "missing"]


Current = dict[tuple[str, str], Materialization]


def _iteration(lake: Lake, current: Current, progress: dict) -> IterationContents:
    iteration = progress["iteration"]

    def details(asset: str) -> dict:
        record = current.get((asset, iteration))
        return record.details if record else {}

    alignment = current.get(("alignment", iteration))
    return IterationContents(
        iteration,
        progress,
        alignment=details("alignment").get("summary"),
        alignment_protocol=details("alignment").get("protocol"),
        gate_failure=alignment.blocking_failure if alignment else None,
        media=_media(lake, alignment.data_version) if alignment else [],
        rl_history=details("rl_policy").get("history", []),
        probes=details("rl_policy").get("probes", []),
        kept=details("rl_policy").get("kept"),
        imagined=details("rl_policy").get("imagined"),
        evaluation=details("evaluation") or None,
    )


def _media(lake: Lake, alignment_version: str) -> list[dict]:
    """The episodes with pictures, strip and video as data URIs."""
    where = f"alignment_version = {quoted(alignment_version)} AND strip IS NOT NULL"
    rows = lake.read("alignments", MEDIA_COLUMNS, where).to_pylist()
    return [
        row | {"strip": _data_uri("image/png", row["strip"]), "video": _data_uri("video/mp4", row["video"])}
        for row in sorted(rows, key=lambda row: (not row["true_success"], row["episode_id"]))
    ]


def _data_uri(kind: str, data: bytes | None) -> str | None:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}" if data else None


def _budgets(current: Current) -> list[dict]:
    """What each node cost when it was last computed, campaign-scope nodes first, in the order of the graph."""
    order = {name: place for place, name in enumerate(GRAPH)}
    ordered = sorted(current.items(), key=lambda item: (item[0][1], order.get(item[0][0], len(order))))
    return [
        {
            "iteration": iteration or "campaign",
            "asset": asset,
            "seconds": record.seconds,
            "real_steps": record.real_steps,
            "imagined_steps": record.imagined_steps,
        }
        for (asset, iteration), record in ordered
    ]


def _lineage(lake: Lake, policy: Materialization | None) -> list[dict]:
    if policy is None:
        return []
    rows = run_audit(lake, "lineage", {"policy": policy.data_version})
    return rows.head(LINEAGE_ROWS).to_dicts()

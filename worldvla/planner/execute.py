"""Carries a plan out: launch the first run, look again, until nothing is left to run.

Looking again after every run is what spares work: a node recomputed with the same content
leaves what lies downstream of it fresh, so later runs shrink or vanish. For the same reason
a partition's nodes that are stale by themselves run first, and those that are stale only
because of them in a second run, if they still are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from worldvla.planner.graph import GRAPH, Node
from worldvla.planner.plan import Held, Run, decide, plan
from worldvla.planner.selection import Selection
from worldvla.planner.state import NodeState

Look = Callable[[], list[NodeState]]
# Executes a run and returns its exit status: 0 done, 3 a gate did not pass, anything else failed.
Launch = Callable[[Run], int]
Announce = Callable[[Run, int], None]

EXIT_GATE = 3


@dataclass(frozen=True)
class Outcome:
    """How it ended: `failed_asset` of `failed_run` did not materialize, or the `blocked` nodes wait for a gate.

    `held` nodes were wanted and not run, because they read what is neither fresh nor selected.
    """

    status: Literal["done", "failed", "gate"]
    runs: list[Run]
    failed_run: Run | None = None
    failed_asset: str | None = None
    blocked: list[NodeState] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)


def execute(
    look: Look,
    selection: Selection,
    launch: Launch,
    announce: Announce = lambda run, left: None,
    graph: Mapping[str, Node] = GRAPH,
) -> Outcome:
    """Runs what `selection` needs; stops at the first run that fails.

    Which nodes it is about is settled by the first look: what is run changes causes.
    A run that claims success and leaves an asset as it was has failed too, or it would be
    launched for ever.
    """
    done: list[Run] = []
    begun: set[tuple[str, str]] = set()
    states = look()
    chosen = selection.choose(states, graph)
    while runs := (now := decide(states, selection, chosen, graph)).runs:
        partition = (runs[0].campaign, runs[0].iteration)
        run = runs[0] if partition in begun else _causes_first(runs[0], _by_asset(states, partition), graph)
        begun.add(partition)
        announce(run, len(runs))
        exit_status = launch(run)
        states = look()
        done.append(run)
        after = _by_asset(states, partition)
        unmade = [asset for asset in run.assets if after[asset].state != "fresh" and not after[asset].blocked]
        stuck = [asset for asset in unmade if after[asset].reason == run.reasons[asset]]
        if exit_status not in (0, EXIT_GATE) or stuck:
            return Outcome("failed", done, run, next(iter(unmade), None))
    return Outcome("gate" if now.blocked else "done", done, blocked=now.blocked, held=now.held)


def first_run(states: list[NodeState], selection: Selection, graph: Mapping[str, Node] = GRAPH) -> Run | None:
    """The run to launch before looking again, for whoever launches one at a time and remembers none."""
    runs = plan(states, selection, graph)
    return _causes_first(runs[0], _by_asset(states, (runs[0].campaign, runs[0].iteration)), graph) if runs else None


def _causes_first(run: Run, states: Mapping[str, NodeState], graph: Mapping[str, Node]) -> Run:
    """The part of a run that must be recomputed whatever its other nodes turn out to be."""
    certain: dict[str, str] = {}
    for asset in run.assets:
        waits = any(parent in run.reasons and parent not in certain for parent in graph[asset].parents)
        if states[asset].cause != "upstream" and not waits:
            certain[asset] = run.reasons[asset]
    return Run(run.campaign, run.iteration, tuple(certain), certain) if certain else run


def _by_asset(states: list[NodeState], partition: tuple[str, str]) -> dict[str, NodeState]:
    return {state.asset: state for state in states if (state.campaign, state.iteration) == partition}

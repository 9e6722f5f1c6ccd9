"""Why a node is not fresh: the shortest chain of causes from it down to a root.

Each link is a node. The first is the node asked about, each next one is read by the one before
it, and the last is a root: a node with a cause of its own (its code version or the graph, its
configuration, deleted episodes, no record), or a fresh node whose data is no longer what its
reader was computed from (published anew, retracted or corrected episodes), or a gate that did
not pass. A node of the back edge reads what all iterations before its own published, so a
chain crosses it in one step however many iterations lie between.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worldvla.planner.state import Key, NodeState, label


class Link(NamedTuple):
    """One node of a chain. `kind` is the root's at the end, `upstream` or `blocked` on the way there."""

    kind: str
    asset: str
    campaign: str
    iteration: str
    detail: str

    @property
    def key(self) -> Key:
        return self.asset, self.campaign, self.iteration


def chain(state: NodeState, states: Mapping[Key, NodeState]) -> list[Link]:
    """The links from a node to its root, none for a fresh one; `states` holds all nodes that were assessed."""
    links: list[Link] = []
    while state.state != "fresh":
        if state.through is None:
            return [*links, Link(state.kind, *state.key, state.detail)]
        parent = states[state.through]
        links.append(
            Link("blocked" if state.blocked else "upstream", *state.key, f"reads {label(parent, state.iteration)}")
        )
        if state.cause == "data":
            return [*links, Link(state.kind, *parent.key, state.detail)]
        if parent.gate_failure is not None:
            return [*links, Link("gate", *parent.key, parent.gate_failure)]
        state = parent
    return links


def line(links: Sequence[Link]) -> str:
    """The chain in one line, the node itself left out: `← sans ← failure_rollouts[0000]: code version 1 → 2`."""
    if not links:
        return ""
    first, *rest = links
    steps = "".join(f"← {link.asset}{_where(link, first)} " for link in rest).strip()
    return f"{steps}: {links[-1].detail}" if steps else links[-1].detail


def _where(link: Link, first: Link) -> str:
    return f"[{link.iteration}]" if link.iteration not in ("", first.iteration) else ""

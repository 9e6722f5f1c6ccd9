"""Why a node is not fresh: the shortest chain of causes from it down to a root.

Each link is a node. The first is the node asked about, each next one is read by the one before
it, and the last is a root: a node with a cause of its own (its code version or the graph, its
configuration, deleted episodes, no record), or a fresh node whose data is no longer what its
reader was computed from (published anew, retracted or corrected episodes), or a back edge of whose
sets some lost such episodes, or a gate that did not pass. A node of the back edge reads what all
iterations before its own published, so a chain crosses it in one step however many iterations lie
between.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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

    @property
    def row(self) -> dict[str, Any]:
        """The link as commands print it."""
        return self._asdict() | {"iteration": self.iteration or None}


def chain(state: NodeState, states: Mapping[Key, NodeState]) -> list[Link]:
    """The links from a node to its root, none for a fresh one; `states` holds all nodes that were assessed."""
    links: list[Link] = []
    while state.state != "fresh":
        first, last = _step(state, states)
        links.append(first)
        if last is not None:
            links.append(last)
        if last is not None or state.through is None:
            break
        state = states[state.through]
    return links


def chains(states: Sequence[NodeState]) -> dict[Key, list[Link]]:
    """`chain` of every node that is not fresh; `states` is what `assess` returned, in its order."""
    by_key = {state.key: state for state in states}
    found: dict[Key, list[Link]] = {}
    for state in states:
        if state.state != "fresh":
            first, last = _step(state, by_key)
            rest = [last] if last is not None else found[state.through] if state.through else []
            found[state.key] = [first, *rest]
    return found


def _step(state: NodeState, states: Mapping[Key, NodeState]) -> tuple[Link, Link | None]:
    """A node's own link, and the root behind it where that is a node that is fresh itself."""
    if state.through is None:
        return Link(state.kind, *state.key, state.detail), None
    parent = states[state.through]
    link = Link("blocked" if state.blocked else "upstream", *state.key, f"reads {label(parent, state.iteration)}")
    if state.cause == "data":
        return link, Link(state.kind, *parent.key, state.detail)
    if parent.gate_failure is not None:
        return link, Link("gate", *parent.key, parent.gate_failure)
    return link, None


def line(links: Sequence[Link]) -> str:
    """The chain in one line, the node itself left out: `← sans ← raw_episodes: code version 1 → 2`."""
    if not links:
        return ""
    first, *rest = links
    steps = "".join(f"← {link.asset}{_where(link, first)} " for link in rest).strip()
    return f"{steps}: {links[-1].detail}" if steps else links[-1].detail


def _where(link: Link, first: Link) -> str:
    return f"[{link.iteration}]" if link.iteration not in ("", first.iteration) else ""

"""Draws `docs/images/graph.png` from the nodes that the software runs: `python docs/draw_graph.py`.

A layered drawing after Sugiyama, Tagawa and Toda (1981): a node's column is its longest path
from a source, an edge over several columns gets a waypoint in each, the order within a column
is the one of fewest crossings, and heights are averaged over neighbours. What is made once a
campaign stands above what every iteration makes anew.
"""

import itertools
import random
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from worldvla.planner.graph import GRAPH, NODES, Node

COLUMN, ROW, BOX = 1.98, 1.05, (1.58, 0.6)
BANDS = {
    "campaign": ("once a campaign", "#eef3fa", "#3f6ea8"),
    "iteration": ("every iteration", "#fbf3e8", "#b9762a"),
}
POOLS = {"training": "pool: training", "simulator": "pool: simulator", None: "no pool"}
INK, BACK = "#5c6670", "#b03a2e"
MANY = 6
Vertex = str | tuple[str, str, int]  # a node, or the waypoint of an edge in a column


def drawn_parents(node: Node) -> tuple[str, ...]:
    """A node's parents; of one that reads most of an iteration, only those that no other parent implies."""
    if len(node.parents) <= MANY:
        return node.parents
    implied = {ancestor for parent in node.parents for ancestor in _ancestors(parent)}
    return tuple(parent for parent in node.parents if parent not in implied)


def _ancestors(name: str) -> set[str]:
    return {a for parent in GRAPH[name].parents for a in (parent, *_ancestors(parent))}


PARENTS = {node.name: drawn_parents(node) for node in NODES}


def columns() -> dict[str, int]:
    """Children stand right of their parents; below a parent of the other band the same column will do."""
    column: dict[str, int] = {}
    for node in NODES:
        column[node.name] = max(
            (column[parent] + (GRAPH[parent].scope == node.scope) for parent in node.parents), default=0
        )
    for node in NODES:
        if node.feedback_from:
            column[node.name] = min(column[child.name] for child in NODES if node.name in child.parents) - 1
    return column


class Band:
    """The nodes of one scope with the waypoints of the edges between them."""

    def __init__(self, scope: str, column: dict[str, int]) -> None:
        self.layers: dict[int, list[Vertex]] = {}
        self.segments: list[tuple[Vertex, Vertex]] = []
        self.chains: dict[tuple[str, str], list[Vertex]] = {}
        names = [node.name for node in NODES if node.scope == scope]
        for name in names:
            self.layers.setdefault(column[name], []).append(name)
        for parent, child in ((p, name) for name in names for p in PARENTS[name] if p in names):
            waypoints = [(parent, child, at) for at in range(column[parent] + 1, column[child])]
            for waypoint in waypoints:
                self.layers.setdefault(waypoint[2], []).append(waypoint)
            chain = [parent, *waypoints, child]
            self.chains[parent, child] = chain
            self.segments += itertools.pairwise(chain)
        # A parent or child in the other band draws a node towards it.
        above = scope == "iteration"
        self.pull = {
            name
            for name in names
            if any(
                GRAPH[other].scope != scope
                for other in (PARENTS[name] if above else [n.name for n in NODES if name in PARENTS[n.name]])
            )
        }
        self.towards = -1 if above else 1

    def place(self) -> dict[Vertex, float]:
        """Heights (0 is the top), from the best of many random orders."""
        rng = random.Random(0)
        best = min((self._sorted(rng) for _ in range(300)), key=self._cost)
        return self._heights(best)

    def _sorted(self, rng: random.Random) -> dict[int, list[Vertex]]:
        order = {at: rng.sample(layer, len(layer)) for at, layer in self.layers.items()}
        for _ in range(8):
            rank = {v: i - len(layer) / 2 for layer in order.values() for i, v in enumerate(layer)}
            for layer in order.values():
                means = {v: self._mean(v, rank) + (self.towards * 0.6 if v in self.pull else 0) for v in layer}
                layer.sort(key=means.__getitem__)
                rank |= {v: i - len(layer) / 2 for i, v in enumerate(layer)}
        return order

    def _mean(self, vertex: Vertex, height: dict[Vertex, float]) -> float:
        near = [height[b if a == vertex else a] for a, b in self.segments if vertex in (a, b)]
        return sum(near) / len(near) if near else 0.0

    def _cost(self, order: dict[int, list[Vertex]]) -> float:
        rank = {v: i for layer in order.values() for i, v in enumerate(layer)}
        column = {v: at for at, layer in order.items() for v in layer}
        crossings = sum(
            (rank[a] - rank[c]) * (rank[b] - rank[d]) < 0
            for (a, b), (c, d) in itertools.combinations(self.segments, 2)
            if column[a] == column[c]
        )
        buried = sum(
            sum(isinstance(v, str) for v in (layer[:i] if self.towards < 0 else layer[i + 1 :]))
            for layer in order.values()
            for i, w in enumerate(layer)
            if w in self.pull
        )
        return crossings + 2 * buried + 0.01 * sum(abs(rank[a] - rank[b]) for a, b in self.segments)

    def _heights(self, order: dict[int, list[Vertex]]) -> dict[Vertex, float]:
        height = {v: float(i - (len(layer) - 1) / 2) for layer in order.values() for i, v in enumerate(layer)}
        for _ in range(200):
            for layer in order.values():
                for vertex in layer:
                    height[vertex] += 0.5 * (self._mean(vertex, height) - height[vertex])
                for above, below in itertools.pairwise(layer):
                    apart = 1.0 if isinstance(above, str) and isinstance(below, str) else 0.62
                    overlap = apart - (height[below] - height[above])
                    if overlap > 0:
                        height[above] -= overlap / 2
                        height[below] += overlap / 2
        top = min(height.values())
        return {vertex: value - top for vertex, value in height.items()}


def draw(path: Path) -> None:
    column = columns()
    position: dict[Vertex, tuple[float, float]] = {}
    bands, extent, offset = {}, {}, 0.0
    for scope in BANDS:
        band = bands[scope] = Band(scope, column)
        heights = band.place()
        for at, layer in band.layers.items():
            position |= {v: (at * COLUMN, -(offset + heights[v]) * ROW) for v in layer}
        depth = max(heights.values())
        extent[scope] = (-offset * ROW, -(offset + depth) * ROW)
        offset += depth + 2.25

    width = max(x for x, _ in position.values())
    figure, axes = plt.subplots(figsize=(width + 2.4, offset * ROW + 0.9))
    axes.set_axis_off()
    for scope, (title, fill, edge) in BANDS.items():
        top, bottom = extent[scope]
        low = bottom - (0.95 if scope == "iteration" else 0.5)
        axes.add_patch(
            FancyBboxPatch(
                (-1.0, low),
                width + 2.0,
                top - low + 0.82,
                boxstyle="round,pad=0,rounding_size=0.2",
                facecolor=fill,
                edgecolor="none",
            )
        )
        axes.text(-0.8, top + 0.52, title, color=edge, fontsize=13, fontweight="bold", va="center")

    for band in bands.values():
        for chain in band.chains.values():
            _arrow(axes, _through([position[v] for v in chain]), INK)
    lanes = sorted(
        {p for n in NODES for p in PARENTS[n.name] if GRAPH[p].scope != n.scope}, key=lambda name: (-column[name], name)
    )
    for node in NODES:
        for parent in PARENTS[node.name]:
            if GRAPH[parent].scope != node.scope:
                below = [
                    position[n.name][1] for n in NODES if n.scope == "campaign" and column[n.name] == column[parent]
                ]
                buried = min(below) < position[parent][1]
                _arrow(axes, _down(position[parent], position[node.name], extent, buried, lanes.index(parent)), INK)
    # The shorter a back edge, the higher it runs: none crosses another's ends.
    ends = [(position[node.feedback_from], position[node.name]) for node in NODES if node.feedback_from]
    ends.sort(key=lambda pair: pair[1][0] - pair[0][0])
    for lane, (start, end) in enumerate(ends):
        _arrow(axes, _back(start, end, extent["iteration"][1] - 0.67 + 0.33 * lane), BACK, dashed=True)
    axes.text(
        (ends[0][0][0] + ends[0][1][0]) / 2,
        extent["iteration"][1] - 0.67,
        "back edges: what iteration t publishes is observed by iteration t + 1",
        color=BACK,
        fontsize=11,
        ha="center",
        va="center",
        bbox={"facecolor": BANDS["iteration"][1], "edgecolor": "none", "pad": 2.5},
    )
    for node in NODES:
        _box(axes, node.name, position[node.name], BANDS[node.scope][2], node.pool)
    _legend(axes, width, extent)
    axes.set_xlim(-1.1, width + 1.1)
    axes.set_ylim(extent["iteration"][1] - 1.05, extent["campaign"][0] + 0.9)
    axes.set_aspect("equal")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def _box(axes: plt.Axes, name: str, center: tuple[float, float], color: str, pool: str | None) -> None:
    (x, y), (w, h) = center, BOX
    axes.add_patch(
        FancyBboxPatch(
            (x - w / 2, y - h / 2),
            w,
            h,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=color if pool == "training" else "white",
            edgecolor=color,
            linewidth=2.4 if pool else 1.1,
            zorder=3,
        )
    )
    words = name.replace("_", " ")
    if " " in words and len(words) > 12:
        words = textwrap.fill(words, width=16 if len(words) > 20 else 12, break_long_words=False)
    axes.text(
        x,
        y,
        words,
        ha="center",
        va="center",
        fontsize=10.2,
        color="white" if pool == "training" else "#20262c",
        zorder=4,
    )


def _legend(axes: plt.Axes, width: float, extent: dict[str, tuple[float, float]]) -> None:
    y, x = extent["campaign"][0] + 0.2, width
    for pool, text in POOLS.items():
        _box(axes, text, (x, y), "#6b7280", pool)
        y -= 0.76


def _through(points: list[tuple[float, float]]) -> Curve:
    """From the right side of a box through waypoints to the left side of another, level at each."""
    half = BOX[0] / 2
    start, end = (points[0][0] + half, points[0][1]), (points[-1][0] - half, points[-1][1])
    vertices = [start]
    stops = [start]
    for x, y in points[1:-1]:
        stops += [(x - half, y), (x + half, y)]
    stops.append(end)
    for (x0, y0), (x1, y1) in itertools.pairwise(stops):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
    return Curve(vertices, [Curve.MOVETO] + [Curve.CURVE4] * (len(vertices) - 1))


def _down(
    start: tuple[float, float],
    end: tuple[float, float],
    extent: dict[str, tuple[float, float]],
    buried: bool,
    lane: int,
) -> Curve:
    """To the top of a box in the band below, level in a lane of the gap between the bands.

    It leaves from the bottom of its box, or from the right side of one with another beneath it.
    """
    x0, y0 = (start[0] + BOX[0] / 2, start[1]) if buried else (start[0], start[1] - BOX[1] / 2)
    x1, y1 = end[0], end[1] + BOX[1] / 2
    gap = extent["campaign"][1] - 0.62 - 0.17 * lane
    if not buried and x0 == x1:
        return Curve([(x0, y0), (x1, y1)])
    vertices, codes = [(x0, y0)], [Curve.MOVETO]
    if buried:
        x0 += 0.2
        vertices += [(x0, y0), (x0, y0 - 0.2)]
        codes += [Curve.CURVE3] * 2
    bend = min(0.4, abs(x1 - x0) / 2) * (1 if x1 > x0 else -1)
    vertices += [(x0, gap + 0.25), (x0, gap), (x0 + bend, gap), (x1 - bend, gap), (x1, gap), (x1, gap - 0.25), (x1, y1)]
    codes += [Curve.LINETO, Curve.CURVE3, Curve.CURVE3, Curve.LINETO, Curve.CURVE3, Curve.CURVE3, Curve.LINETO]
    return Curve(vertices, codes)


def _back(start: tuple[float, float], end: tuple[float, float], low: float) -> Curve:
    radius = 0.25
    (x0, y0), (x1, y1) = (start[0], start[1] - BOX[1] / 2), (end[0], end[1] - BOX[1] / 2)
    vertices = [(x0, y0), (x0, low + radius), (x0, low), (x0 - radius, low)]
    vertices += [(x1 + radius, low), (x1, low), (x1, low + radius), (x1, y1)]
    codes = [
        Curve.MOVETO,
        Curve.LINETO,
        Curve.CURVE3,
        Curve.CURVE3,
        Curve.LINETO,
        Curve.CURVE3,
        Curve.CURVE3,
        Curve.LINETO,
    ]
    return Curve(vertices, codes)


def _arrow(axes: plt.Axes, curve: Curve, color: str, dashed: bool = False) -> None:
    axes.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle="-|>,head_length=5,head_width=2.6",
            color=color,
            linewidth=2.0 if dashed else 1.3,
            linestyle=(0, (5, 3)) if dashed else "solid",
            zorder=2,
        )
    )


if __name__ == "__main__":
    draw(Path(__file__).resolve().parent / "images" / "graph.png")

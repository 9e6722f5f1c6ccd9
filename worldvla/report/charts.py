"""Line charts as inline SVG that takes its colours from the page, so it is legible in light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
TICKS = 4


@dataclass(frozen=True)
class Series:
    """One line; `style` is a CSS class of the page (a, b, c, muted). `low` and `high` shade an interval; `steps` are
    its own, where it has others than the chart."""

    label: str
    values: Sequence[float]
    style: str
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    steps: Sequence[float] | None = None


def line_chart(
    steps: Sequence[float], series: Sequence[Series], x_label: str, y_label: str, unit_interval: bool = False
) -> Markup:
    """The series against `steps`; `unit_interval` fixes the vertical axis to 0 … 1."""
    everything = [v for s in series for curve in (s.values, s.low or (), s.high or ()) for v in curve]
    low, high = (0.0, 1.0) if unit_interval else _padded(min(everything), max(everything))
    places = [step for s in series for step in (s.steps or steps)]
    first, last = min(places), max(max(places), min(places) + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(
            f'<text class="tick end" x="{LEFT - 6}" y="{y(value) + 3.5:.1f}">{_short(value, high - low)}</text>'
        )
    for step in _ticks(first, last):
        parts.append(f'<text class="tick middle" x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 14}">{step:g}</text>')
    for one in series:
        points = [f"{x(s):.1f},{y(v):.1f}" for s, v in zip(one.steps or steps, one.values, strict=True)]
        if one.low is not None and one.high is not None:
            upper = [f"{x(s):.1f},{y(v):.1f}" for s, v in zip(one.steps or steps, one.high, strict=True)]
            lower = [f"{x(s):.1f},{y(v):.1f}" for s, v in zip(one.steps or steps, one.low, strict=True)]
            parts.append(f'<polygon class="band {one.style}" points="{" ".join(upper + lower[::-1])}"/>')
        parts.append(f'<polyline class="line {one.style}" points="{" ".join(points)}"/>')
    parts.append(
        f'<text class="tick middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}">{escape(x_label)}</text>'
    )
    keys = "".join(f'<span class="key {s.style}">{escape(s.label)}</span>' for s in series)
    parts.append("</svg>")
    caption = f'<figcaption>{escape(y_label)} <span class="keys">{keys}</span></figcaption>'
    return Markup(f'<figure class="plot">{caption}{"".join(parts)}</figure>')


def interval_chart(groups: Sequence[tuple[str, Sequence[tuple[str, str, dict]]]]) -> Markup:
    """Rates with their intervals on one axis from 0 to 1, a row each.

    `groups`: (title, [(label, style, {"rate", "low", "high", "successes", "n"})]).
    """
    row, gap, left, right = 22, 12, 150, 96
    rows = sum(len(lines) for _, lines in groups)
    height = rows * row + len(groups) * gap + 24

    def x(rate: float) -> float:
        return left + rate * (720 - left - right)

    parts = [f'<svg class="chart wide" viewBox="0 0 720 {height}" role="img" aria-label="success rates">']
    for tick in range(6):
        at = x(tick / 5)
        parts.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{height - 20}"/>')
        parts.append(f'<text class="tick middle" x="{at:.1f}" y="{height - 5}">{tick * 20} %</text>')
    top = 4.0
    for title, lines in groups:
        parts.append(f'<text class="tick strong" x="0" y="{top + row * 0.68:.1f}">{escape(title)}</text>')
        for label, style, rate in lines:
            middle = top + row / 2
            parts.append(f'<text class="tick end" x="{left - 10}" y="{middle + 4:.1f}">{escape(label)}</text>')
            parts.append(
                f'<line class="line {style}" x1="{x(rate["low"]):.1f}" x2="{x(rate["high"]):.1f}" '
                f'y1="{middle:.1f}" y2="{middle:.1f}"/>'
                f'<circle class="dot {style}" cx="{x(rate["rate"]):.1f}" cy="{middle:.1f}" r="4.5"/>'
                f'<text class="tick" x="{720 - right + 10}" y="{middle + 4:.1f}">'
                f"{rate['successes']} of {rate['n']}</text>"
            )
            top += row
        top += gap
    parts.append("</svg>")
    return Markup("".join(parts))


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = max((high - low) * 0.08, 1e-3)
    return low - pad, high + pad


def _short(value: float, span: float) -> str:
    return f"{value:.0f}" if span >= 8 else f"{value:.1f}" if span >= 2 else f"{value:.2f}"


def _ticks(first: float, last: float) -> list[float]:
    """A few round steps from first to last."""
    span = last - first
    stride = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if span / s <= 8)
    return [step for step in range(int(first), int(last) + 1) if step % stride == 0 or (step == first and stride == 1)]

"""The picture of `benchmarks.loading`: windows/s of every loader, and what its format takes on disk."""

import statistics
from pathlib import Path
from typing import Any

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "loading.png"
COLOURS = {"cold": ("#9ecae1", "#3182bd"), "warm": ("#fdae6b", "#e6550d")}


def draw(rates: dict[tuple[str, int, str], list[float]], stored: dict[str, Any]) -> None:
    """Medians with the lowest and highest turn; a bar a state and number of workers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for name, _, _ in rates))
    names.sort(key=lambda name: statistics.median(rates[name, 1, "warm"]))
    figure, axes = pyplot.subplots(figsize=(10, 0.85 * len(names) + 1), layout="constrained")
    bars = [(state, workers) for state in ("cold", "warm") for workers in (1, 2)]
    for number, (state, workers) in enumerate(bars):
        middle = [statistics.median(rates[name, workers, state]) for name in names]
        low = [m - min(rates[name, workers, state]) for m, name in zip(middle, names, strict=True)]
        high = [max(rates[name, workers, state]) - m for m, name in zip(middle, names, strict=True)]
        at = [place + 0.3 - 0.2 * number for place in range(len(names))]
        label = f"{state}, {workers} worker{'s' if workers > 1 else ''}"
        style = {"color": COLOURS[state][workers - 1], "label": label, "error_kw": {"elinewidth": 0.8}}
        axes.barh(at, middle, 0.19, xerr=[low, high], **style)
    axes.set_yticks(range(len(names)), [_label(name, stored) for name in names])
    axes.set_xscale("log")
    axes.set_xlabel("shuffled training windows a second (10 frames of 128 × 128 each), logarithmic")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def _label(name: str, stored: dict[str, Any]) -> str:
    if name not in stored:
        return name
    return f"{name}\n{stored[name].bytes / 2**20:.0f} MiB, {stored[name].psnr:.1f} dB"

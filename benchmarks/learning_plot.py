"""The picture of `benchmarks.learning`: real steps that a policy was learned from, against its success."""

from pathlib import Path
from typing import Any

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "learning.png"
MARKERS = "osD^vP"
APART = 4  # points between the marks of campaigns that spent alike


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One point a row of the interaction table, with its 95 % interval; a line along each campaign's iterations.

    Campaigns are moved sideways by some points, so that those which spent the same steps do not cover each other.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.transforms import ScaledTranslation

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    names = list(dict.fromkeys(row["campaign"] for row in rows))
    for number, name in enumerate(names):
        mine = [row for row in rows if row["campaign"] == name]
        aside = APART * (number - (len(names) - 1) / 2) / 72
        rates = [row["success"] for row in mine]
        axes.errorbar(
            [row["real_steps"] for row in mine],
            [rate["rate"] for rate in rates],
            yerr=[[rate["rate"] - rate["low"] for rate in rates], [rate["high"] - rate["rate"] for rate in rates]],
            marker=MARKERS[number % len(MARKERS)],
            linewidth=1,
            elinewidth=0.8,
            capsize=2,
            label=name,
            transform=axes.transData + ScaledTranslation(aside, 0, figure.dpi_scale_trans),
        )
        for row in mine:
            axes.annotate(
                row["iteration"] or "base",
                (row["real_steps"], row["success"]["rate"]),
                textcoords="offset points",
                xytext=(aside * 72 + 5, 4),
                fontsize=7,
            )
    # Shifted marks do not tell the axes how far they reach.
    axes.set_xlim(0, 1.1 * max(row["real_steps"] for row in rows))
    axes.set_ylim(0, 1)
    axes.set_xlabel("steps of the real simulator that the policy was learned from")
    axes.set_ylabel("success on held-out seeds, with its 95 % interval")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

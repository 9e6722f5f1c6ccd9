"""Plots of an alignment summary over the horizon."""

from collections.abc import Sequence

from worldvla.alignment.strips import GRID, INK, PAPER, png


def horizon(summary: dict) -> bytes:
    """PNG of two panels against the step: PSNR beside the repeated first frame's, and alignment with its intervals."""
    from matplotlib.figure import Figure

    curves = summary["curves"]
    steps = curves["step"]
    figure = Figure(figsize=(9.2, 3.1), dpi=110, layout="constrained", facecolor=PAPER)
    pictures, outcomes = figure.subplots(1, 2)
    pictures.plot(steps, curves["psnr"], color="#c8450c", linewidth=1.8, label="world model")
    pictures.plot(
        steps, curves["static_psnr"], color="#808080", linewidth=1.4, linestyle="--", label="first frame repeated"
    )
    pictures.set(xlabel="step", ylabel="PSNR in dB")
    for name, colour in (("reward_alignment", "#c8450c"), ("visual_alignment", "#1668b8")):
        _band(outcomes, steps, curves[name], colour, name.replace("_", " "))
    outcomes.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    outcomes.set(xlabel="step", ylabel="agreement on success by this step", ylim=(0, 1.03))
    for axes in (pictures, outcomes):
        axes.grid(color=GRID, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=INK)
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    pictures.set_title(f"{curves['n'][0]} episodes at step 1, {curves['n'][-1]} at step {steps[-1]}", fontsize=9)
    outcomes.set_title(f"n = {summary['n']}, 95 % Wilson intervals", fontsize=9)
    return png(figure)


def _band(axes, steps: Sequence[int], rates: Sequence[dict], colour: str, label: str) -> None:
    axes.plot(steps, [rate["rate"] for rate in rates], color=colour, linewidth=1.8, label=label)
    low, high = [rate["low"] for rate in rates], [rate["high"] for rate in rates]
    axes.fill_between(steps, low, high, color=colour, alpha=0.14, linewidth=0)

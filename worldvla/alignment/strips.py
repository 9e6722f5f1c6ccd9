"""Pictures of a replay for people: a strip of frames with the reward curves, and a video side by side."""

import io
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMNS = 9
VIDEO_SCALE = 4
STEPS_PER_SECOND = 10
INK, PAPER, GRID = "#1c1c1c", "#ffffff", "#d8d8d8"
COLOURS = {"true": "#1c1c1c", "reward head": "#c8450c", "judge": "#1668b8"}


def strip(
    real: np.ndarray, imagined: np.ndarray, rewards: Mapping[str, np.ndarray], stride: int, threshold: float = 0.5
) -> bytes:
    """PNG: real frames above imagined ones at evenly spaced steps, the curves of `rewards` beneath on the same axis.

    `real` and `imagined` uint8 [N, H, W, 3] of steps s, 2s, .. for a `stride` of s; `rewards` names to float [N].
    """
    from matplotlib.figure import Figure

    shown = np.unique(np.linspace(0, len(real) - 1, min(COLUMNS, len(real))).round().astype(int))
    figure = Figure(figsize=(1.25 * len(shown) + 0.7, 4.4), dpi=100, facecolor=PAPER)
    left, right = 0.62 / figure.get_figwidth(), 1 - 0.08 / figure.get_figwidth()
    grid = figure.add_gridspec(
        3,
        len(shown),
        height_ratios=[1, 1, 1.05],
        left=left,
        right=right,
        top=0.94,
        bottom=0.11,
        wspace=0.04,
        hspace=0.06,
    )
    for row, (name, frames) in enumerate((("real", real), ("imagined", imagined))):
        for column, frame in enumerate(shown):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(frames[frame], interpolation="bicubic")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(f"step {(frame + 1) * stride}", fontsize=9, color=INK, pad=3)
            if column == 0:
                axes.set_ylabel(name, fontsize=10, color=INK)
    axes = figure.add_subplot(grid[2, :])
    for name, curve in rewards.items():
        dashes = {"drawstyle": "steps-mid", "linewidth": 3, "alpha": 0.35} if name == "true" else {"linewidth": 1.8}
        axes.plot(stride * np.arange(1, len(curve) + 1), curve, label=name, color=COLOURS.get(name), **dashes)
    axes.axhline(threshold, color=INK, linewidth=0.8, linestyle=":")
    half = stride * (len(real) - 1) / (2 * max(len(shown) - 1, 1))
    axes.set(xlim=(stride - half, stride * len(real) + half), ylim=(-0.06, 1.06), yticks=[0, 0.5, 1])
    axes.set_ylabel("progress", fontsize=10, color=INK)
    axes.set_xlabel("step", fontsize=9, color=INK, labelpad=1)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=len(rewards))
    return png(figure)


def video(real: np.ndarray, imagined: np.ndarray, rewards: Mapping[str, np.ndarray], stride: int) -> bytes:
    """MP4 (H.264, yuv420p, STEPS_PER_SECOND): real left, imagined right, the step and the rewards above."""
    import av

    font = ImageFont.load_default(size=13)
    size, margin, head = real.shape[1] * VIDEO_SCALE, 8, 42
    width, height = _even(2 * size + 3 * margin), _even(size + head + margin)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(STEPS_PER_SECOND, stride))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "medium"}
        stream.thread_count = 1  # several threads may cut slices otherwise from machine to machine
        for frame in range(len(real)):
            canvas = Image.new("RGB", (width, height), "#141414")
            draw = ImageDraw.Draw(canvas)
            for place, image in enumerate((real[frame], imagined[frame])):
                large = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
                canvas.paste(large, (margin + place * (size + margin), head))
            told = {name: float(curve[frame]) for name, curve in rewards.items()}
            truth = told.pop("true", None)
            left = "real" + (f"   progress {truth:.2f}" if truth is not None else "")
            right = "imagined   " + "   ".join(f"{name} {value:.2f}" for name, value in told.items())
            draw.text((margin, 4), f"step {(frame + 1) * stride} of {len(real) * stride}", fill="#9a9a9a", font=font)
            draw.text((margin, 22), left, fill="#f2f2f2", font=font)
            draw.text((2 * margin + size, 22), right, fill="#f2f2f2", font=font)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(canvas), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def png(figure) -> bytes:
    """A matplotlib figure as PNG bytes, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _even(length: int) -> int:
    """H.264 in yuv420p halves both sides."""
    return length + length % 2

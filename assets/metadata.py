"""What Dagster shows of an asset: tables, and pictures as PNG inside Markdown."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg


def table(rows: Iterable[Mapping]) -> dg.MetadataValue:
    """Rows that have the same columns; where there are none, the word for it."""
    records = [dg.TableRecord(dict(row)) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none")


def picture(png: bytes, caption: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})")


def line_plot(series: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> dg.MetadataValue:
    """Each series against its index."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for label, values in series.items():
        axes.plot(values, label=label)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return picture(buffer.getvalue(), y_label)

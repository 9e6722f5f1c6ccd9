"""Draws docs/images/real-vs-imagined.png: `python docs/draw_real_vs_imagined.py [CAMPAIGN/ITERATION]`.

Stacks strips that the alignment asset kept in the lake, one success and one failure: real
frames above imagined ones, the rewards beneath.
"""

import io
import sys
from pathlib import Path

from PIL import Image

from worldvla.lake.materializations import latest
from worldvla.lake.store import Lake

PATH = Path(__file__).resolve().parent / "images" / "real-vs-imagined.png"


def main(where: str = "demo/0001") -> None:
    campaign, _, iteration = where.partition("/")
    lake = Lake.default()
    version = latest(lake)["alignment", campaign, iteration].data_version
    rows = lake.frame("alignments", ["episode_id", "true_success", "strip"], f"alignment_version = '{version}'")
    kept = rows.filter(rows["strip"].is_not_null()).sort("episode_id")
    chosen = [kept.filter(kept["true_success"] == outcome)["strip"][0] for outcome in (True, False)]
    strips = [Image.open(io.BytesIO(strip)).convert("RGB") for strip in chosen]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    sheet.save(PATH, optimize=True)
    print(PATH)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""ManiSkill's minimal shaders without the table that takes longer to fill than an episode to record.

At a process's first picture SAPIEN integrates how rough surfaces reflect an environment
map into a lookup table: 6 s on a processor, in every worker. The tabletop scenes have no
environment map, what the table gives is multiplied by zero, and the pictures without it are
bitwise the same.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from worldvla.sim.cache import cached, digest

NAME = "worldvla"
_DECLARATION = "layout(set = {set}, binding = 8) uniform sampler2D samplerBRDFLUT;"
_LOOKUP = "texture(samplerBRDFLUT, vec2(roughness, dotNV)).xy"


def register() -> str:
    """Makes the shaders known to ManiSkill; returns the name of the pack.

    The name is ManiSkill's own where the installed SAPIEN's shaders are not those rewritten here.
    """
    import sapien
    from mani_skill.render.shaders import PREBUILT_SHADER_CONFIGS

    if NAME in PREBUILT_SHADER_CONFIGS:
        return NAME
    installed = Path(sapien.__file__).parent / "vulkan_shader"
    lighting = (installed / "minimal" / "gbuffer.frag").read_text()
    composition = (installed / "minimal" / "composite0.frag").read_text()
    if _DECLARATION.format(set=3) not in lighting or _LOOKUP not in lighting:
        return "minimal"
    lighting = lighting.replace(_DECLARATION.format(set=3), "").replace(_LOOKUP, "vec2(0)")
    composition = composition.replace(_DECLARATION.format(set=2), "")
    folder = _write(installed, lighting, composition)
    for picture, layout in (
        ("Color", "r8g8b8a8unorm"),
        ("ColorRaw", "r8g8b8a8unorm"),
        ("PositionSegmentation", "r16g16b16a16sint"),
    ):
        sapien.render.set_picture_format(picture, layout)
    PREBUILT_SHADER_CONFIGS[NAME] = replace(PREBUILT_SHADER_CONFIGS["minimal"], shader_pack=str(folder))
    return NAME


def _write(installed: Path, lighting: str, composition: str) -> Path:
    """The pack's folder, named by what it is made of."""

    def fill(draft: Path) -> None:
        for name in ("common", "minimal"):
            shutil.copytree(installed / name, draft / name)
        (draft / "minimal" / "gbuffer.frag").write_text(lighting)
        (draft / "minimal" / "composite0.frag").write_text(composition)

    copied = [path for name in ("common", "minimal") for path in (installed / name).rglob("*") if path.is_file()]
    return cached(f"shaders-{digest(copied, lighting + composition)}", fill) / "minimal"

"""ManiSkill's Panda in no more triangles than its pictures can show: a third of 136,000.

Only what is drawn changes: bodies, collisions and joints are ManiSkill's, so that states are the same to the bit.
"""

import shutil
from pathlib import Path

import numpy as np

from worldvla.sim.cache import cached, digest
from worldvla.sim.meshes import clusters, triangles
from worldvla.sim.tabletop import VERSION

CELL = 0.005  # metres; a pixel of the suite's cameras covers more
CREASE = np.radians(30)  # where faces meet at more than this, the light has an edge


def register() -> None:
    """Makes ManiSkill's agent `panda` one that is drawn from these meshes."""
    from mani_skill.agents.registration import REGISTERED_AGENTS, register_agent
    from mani_skill.agents.robots import Panda

    if REGISTERED_AGENTS["panda"].agent_cls is Panda:
        register_agent(override=True)(type("Panda", (Panda,), {"urdf_path": str(_description(Path(Panda.urdf_path)))}))


def _description(original: Path) -> Path:
    """The URDF of the same robot with coarser visual meshes, in a folder named by what they are made of."""
    described = [original, original.with_suffix(".srdf")]
    parts = original.parent / "franka_description"

    def fill(draft: Path) -> None:
        for path in described:
            shutil.copy(path, draft)
        shutil.copytree(parts, draft / parts.name)
        for path in (draft / parts.name / "meshes" / "visual").glob("*.glb"):
            _coarsen(path)

    copied = [*described, *(path for path in parts.rglob("*") if path.is_file())]
    return cached(f"panda-{digest(copied, f'{VERSION} {CELL} {CREASE}')}", fill) / original.name


def _coarsen(path: Path) -> None:
    """Rewrites the meshes of a glTF file, each with its own material."""
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    for name, mesh in list(scene.geometry.items()):
        vertices, cluster = clusters(mesh.vertices, CELL)
        faces = cluster[mesh.faces]
        coarse = trimesh.Trimesh(vertices, faces[triangles(faces)], process=False)
        coarse.remove_unreferenced_vertices()
        coarse = trimesh.graph.smooth_shade(coarse, angle=CREASE)
        coarse.visual = trimesh.visual.TextureVisuals(material=mesh.visual.material)
        scene.geometry[name] = coarse
    scene.export(path)

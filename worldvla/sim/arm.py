"""The arm in no more triangles than its pictures can show.

On a processor a picture's cost is its triangles, and ManiSkill's Panda has 136,000, many to a pixel. Here vertices
that share a cell of CELL become one (Rossignac and Borrel 1993, "Multi-resolution 3D approximations for rendering
complex scenes"), which leaves a third of them. Only what is drawn changes: bodies, collisions and joints are
ManiSkill's, so that states are the same to the bit.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from worldvla.sim.cache import cached

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
    meshes = sorted((original.parent / "franka_description" / "meshes" / "visual").glob("*.glb"))
    digest = hashlib.sha256(f"{CELL} {CREASE}".encode())
    for path in (original, *meshes):
        digest.update(path.read_bytes())

    def fill(draft: Path) -> None:
        for path in (original, original.with_suffix(".srdf")):
            shutil.copy(path, draft)
        shutil.copytree(original.parent / "franka_description", draft / "franka_description")
        for path in meshes:
            _coarsen(draft / path.relative_to(original.parent))

    return cached(f"panda-{digest.hexdigest()[:16]}", fill) / original.name


def _coarsen(path: Path) -> None:
    """Rewrites the meshes of a glTF file, each with its own material."""
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    for name, mesh in list(scene.geometry.items()):
        coarse = trimesh.Trimesh(*clustered(mesh.vertices, mesh.faces, CELL), process=False)
        coarse.update_faces(coarse.nondegenerate_faces() & coarse.unique_faces())
        coarse.remove_unreferenced_vertices()
        coarse = trimesh.graph.smooth_shade(coarse, angle=CREASE)
        coarse.visual = trimesh.visual.TextureVisuals(material=mesh.visual.material)
        scene.geometry[name] = coarse
    scene.export(path)


def clustered(vertices: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with the vertices of each cubic cell moved to their mean and made one.

    `vertices` float [V, 3] and `faces` int [F, 3] to float [W, 3] and int [F, 3]. Faces may have become
    lines or points.
    """
    _, cluster = np.unique(np.round(vertices / cell).astype(int), axis=0, return_inverse=True)
    cluster = cluster.ravel()
    size = np.bincount(cluster)
    mean = np.stack([np.bincount(cluster, vertices[:, axis]) / size for axis in range(3)], axis=1)
    return mean, cluster[faces]

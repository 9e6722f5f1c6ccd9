"""LIBERO's assets: `WORLDVLA_LIBERO_ASSETS`, or the archive that lies beside the project, or no tests."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldvla.home import project_root
from worldvla.sim.libero.installation import ASSETS


@pytest.fixture(scope="session", autouse=True)
def libero_assets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("libero", reason="LIBERO is not installed: run `make setup`")
    archive = project_root().parent / "shared" / "libero-assets.tar.xz"
    if ASSETS in os.environ:
        yield Path(os.environ[ASSETS])
        return
    if not archive.exists():
        pytest.skip(f"no LIBERO meshes: {archive} is not there; name a folder that holds them in {ASSETS}")
    folder = tmp_path_factory.mktemp("assets")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ASSETS, str(folder / "libero-assets"))
        yield folder / "libero-assets"

"""Where LIBERO's files are, and an import of it that asks nobody and leaves nothing behind.

`import libero.libero` asks on standard input where its data is unless a configuration file
exists, robosuite opens a log file in the system's temporary folder, and matplotlib and Mesa
make folders in the home directory. All of them take what they need from a folder of ours.
"""

import ctypes
import fcntl
import importlib.util
import os
import sys
import types
from functools import cache
from pathlib import Path

from worldvla import home
from worldvla.errors import UserError

ASSETS = "WORLDVLA_LIBERO_ASSETS"
PARTS = ("articulated_objects", "scenes", "stable_hope_objects", "stable_scanned_objects", "turbosquid_objects")


@cache
def package() -> Path:
    """The folder of `libero.libero`, found without importing it; `UserError` where hf-libero is not installed."""
    spec = importlib.util.find_spec("libero")
    if spec is None or spec.origin is None:
        raise UserError("scene.suite: LIBERO is not installed; run `make setup`")
    return Path(spec.origin).parent / "libero"


def assets() -> Path:
    """The folder of meshes and textures: `WORLDVLA_LIBERO_ASSETS`, hf-libero's own, or a download into the home."""
    if named := os.environ.get(ASSETS):
        return _complete(Path(named).resolve())
    for folder in (package() / "assets", Path("~/.cache/libero/assets").expanduser(), _downloads()):
        if all((folder / part).is_dir() for part in PARTS):
            return folder
    return _download()


def _complete(folder: Path) -> Path:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        lacks = f"{folder} is no folder of LIBERO's assets, it lacks {', '.join(missing)}"
        if os.environ.get(ASSETS):
            raise UserError(f"{ASSETS}: {lacks}; unset the variable to let hf-libero's assets be downloaded")
        raise UserError(f"{lacks}; remove it to have them downloaded anew, or name another folder in {ASSETS}")
    return folder


def _downloads() -> Path:
    return _settings() / "assets"


def _settings() -> Path:
    return home.home() / "libero"


def _download() -> Path:
    """hf-libero's normal download, into `WORLDVLA_HOME`: its own goes to the user's home directory.

    The folder appears when it is complete. Workers start at the same time: one downloads, the others wait for it;
    a download that was interrupted goes on.
    """
    prepare()
    folder = _downloads()
    draft = folder.with_name("assets.partial")
    # The hub's library, where nobody has imported it yet, would keep its own files in the home directory.
    os.environ.setdefault("HF_HOME", str(_settings() / "huggingface"))
    from huggingface_hub import snapshot_download
    from libero.libero.utils.download_utils import HF_ASSETS_REPO_ID

    with open(_settings() / "assets.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return _complete(folder)
        try:
            snapshot_download(
                repo_id=HF_ASSETS_REPO_ID,
                repo_type="dataset",
                local_dir=draft,
                cache_dir=_settings() / "huggingface" / "hub",
            )
        except Exception as error:
            raise UserError(
                f"LIBERO's meshes are not here and {HF_ASSETS_REPO_ID} cannot be downloaded "
                f"({type(error).__name__}: {error}); name a folder that holds them in {ASSETS}"
            ) from error
        return _complete(draft).rename(folder)


@cache
def prepare() -> None:
    """Sets up what importing LIBERO, robosuite and MuJoCo reads, then imports LIBERO's package.

    `MUJOCO_GL` says what draws: OSMesa on a machine without a GPU and EGL with one, where it says neither.
    """
    folder = _settings()
    folder.mkdir(parents=True, exist_ok=True)
    if os.environ.get("MUJOCO_GL") not in ("osmesa", "egl"):
        os.environ["MUJOCO_GL"] = _renderer()
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    os.environ.setdefault("MESA_SHADER_CACHE_DIR", str(folder))
    os.environ["LIBERO_CONFIG_PATH"] = str(_configuration(folder))
    _silence_robosuite()
    import libero.libero  # noqa: F401


def _renderer() -> str:
    if not os.path.exists("/dev/nvidiactl"):
        try:
            ctypes.CDLL("libOSMesa.so.8")
            return "osmesa"
        except OSError:
            pass
    return "egl"


def _configuration(folder: Path) -> Path:
    """Writes LIBERO's config.yaml, whole or not at all: workers start at the same time."""
    import yaml

    here = package()
    paths = {
        "benchmark_root": here,
        "bddl_files": here / "bddl_files",
        "init_states": here / "init_files",
        "datasets": folder / "datasets",
        "assets": folder / "assets",
    }
    draft = folder / f"config.{os.getpid()}.yaml"
    draft.write_text(yaml.safe_dump({name: str(path) for name, path in paths.items()}))
    draft.replace(folder / "config.yaml")
    return folder


def _silence_robosuite() -> None:
    """Its private macros, which it reads at import: no log file, no advice to write private macros, and no numba,
    which compiles for half a minute, keeps files beside the source, and makes matrices of 3 x 3 no faster."""
    macros = types.ModuleType("robosuite.macros_private")
    macros.__dict__.update(ENABLE_NUMBA=False, FILE_LOGGING_LEVEL=None, CONSOLE_LOGGING_LEVEL="ERROR")
    sys.modules.setdefault("robosuite.macros_private", macros)


def use_assets() -> Path:
    """Imports LIBERO with its assets in place; returns their folder."""
    prepare()
    import libero.libero

    folder = assets()
    libero.libero._assets_path_cache = str(folder)
    return folder

"""LIBERO asks nobody, writes nowhere but in `WORLDVLA_HOME`, and says what it lacks."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from worldvla.errors import UserError
from worldvla.home import project_root
from worldvla.sim import suites
from worldvla.sim.libero import installation

PLAY = """
from worldvla.sim import suites
simulator = suites.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket")
simulator.reset(3)
simulator.render()
"""
PACKAGES = [Path(importlib.util.find_spec(name).origin).parent for name in ("libero", "robosuite")]
COMMIT = "0" * 40
LOCATE = "from worldvla.sim.libero import installation; installation.assets()"


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = (
        "MUJOCO_GL",
        "PYOPENGL_PLATFORM",
        "MPLCONFIGDIR",
        "LIBERO_CONFIG_PATH",
        "MESA_SHADER_CACHE_DIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "HF_HOME",
    )
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=project_root(),
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def written(*folders: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_it_plays_and_draws_in_silence_and_leaves_nothing_in_the_home_directory(tmp_path):
    log = Path("/tmp/robosuite.log")
    logged = log.stat().st_mtime_ns if log.exists() else None
    before = written(*PACKAGES)
    (tmp_path / "home").mkdir()
    answer = python(PLAY, HOME=str(tmp_path / "home"), WORLDVLA_HOME=str(tmp_path / "var"))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert list((tmp_path / "home").iterdir()) == []
    assert (tmp_path / "var" / "libero" / "config.yaml").exists()
    assert (log.stat().st_mtime_ns if log.exists() else None) == logged
    assert written(*PACKAGES) == before


@pytest.mark.parametrize("library", ["osmesa", "egl"])
def test_either_library_draws_whoever_imported_mujoco_first(tmp_path, library):
    answer = python(f"import mujoco{PLAY}", WORLDVLA_HOME=str(tmp_path), MUJOCO_GL=library)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_a_library_that_cannot_draw_here_is_named_with_what_to_set(tmp_path):
    """As in a container that has a GPU and no EGL driver for it."""
    answer = python(PLAY, WORLDVLA_HOME=str(tmp_path), MUJOCO_GL="egl", __EGL_VENDOR_LIBRARY_FILENAMES="/nowhere")
    assert answer.returncode == 1
    [said] = [line for line in answer.stderr.splitlines() if line.startswith("worldvla.errors.UserError: ")]
    assert "MUJOCO_GL: egl cannot draw here" in said and "set MUJOCO_GL=osmesa" in said


def test_a_folder_without_the_assets_is_refused(tmp_path, monkeypatch):
    (tmp_path / "scenes").mkdir()
    monkeypatch.setenv(installation.ASSETS, str(tmp_path))
    with pytest.raises(UserError, match="WORLDVLA_LIBERO_ASSETS: .* lacks articulated_objects, stable_hope_objects"):
        installation.assets()


def test_a_download_that_lost_a_part_is_to_be_removed(tmp_path, monkeypatch):
    (tmp_path / "libero" / "assets" / "scenes").mkdir(parents=True)
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    monkeypatch.delenv(installation.ASSETS)
    monkeypatch.setattr(installation, "package", lambda: tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        UserError, match="libero/assets is no folder .*; remove it to have them downloaded anew"
    ) as told:
        installation.assets()
    assert "unset" not in str(told.value)


def test_what_cannot_be_downloaded_is_asked_for_by_name(tmp_path):
    environment = {"HOME": str(tmp_path), "WORLDVLA_HOME": str(tmp_path / "var"), "HF_HUB_OFFLINE": "1"}
    answer = python(f"import os; del os.environ['{installation.ASSETS}']; {LOCATE}", **environment)
    assert answer.returncode == 1
    [last] = answer.stderr.splitlines()[-1:]
    assert last.startswith(
        "worldvla.errors.UserError: LIBERO's meshes are not here and lerobot/libero-assets cannot be"
    )
    assert last.endswith("name a folder that holds them in WORLDVLA_LIBERO_ASSETS")


class Hub(ThreadingHTTPServer):
    """A hub that holds one file of each part; `broken` of them cannot be had."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = {f"{part}/a.xml": part.encode() for part in installation.PARTS}
        self.broken: set[str] = set()


class HubHandler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        _, _, file = self.path.partition(f"/resolve/{COMMIT}/")
        status, headers = 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(file.encode()).hexdigest()}"'}
        if file:
            status, body = 404 if file in self.server.broken else 200, self.server.files[file]
        elif "/tree/" in self.path:
            sizes = {name: len(data) for name, data in self.server.files.items()}
            body = json.dumps(
                [{"type": "file", "path": n, "size": s, "oid": COMMIT} for n, s in sizes.items()]
            ).encode()
        else:
            siblings = [{"rfilename": name} for name in self.server.files]
            body = json.dumps({"id": "lerobot/libero-assets", "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments) -> None: ...


def test_an_interrupted_download_goes_on_and_leaves_nothing_in_the_home_directory(tmp_path):
    home, var = tmp_path / "home", tmp_path / "var"
    home.mkdir()
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        program = f"import os; os.environ.pop('{installation.ASSETS}', 0); {LOCATE}; print(installation.assets())"
        environment = {
            "HOME": str(home),
            "WORLDVLA_HOME": str(var),
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        }
        hub.broken = {"scenes/b.xml"}
        hub.files["scenes/b.xml"] = b"late"
        interrupted = python(program, **environment)
        assert interrupted.returncode == 1 and "cannot be downloaded" in interrupted.stderr.splitlines()[-1]
        hub.broken = set()
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda _: python(program, **environment), range(2)))
        hub.shutdown()
    folder = var / "libero" / "assets"
    assert [answer.stdout.splitlines()[-1:] for answer in answers] == [[str(folder)]] * 2, answers[0].stderr
    for name, data in hub.files.items():
        assert (folder / name).read_bytes() == data
    assert list(home.iterdir()) == []


def test_assets_that_hf_libero_downloaded_before_are_used(tmp_path, libero_assets):
    cache = tmp_path / ".cache" / "libero"
    cache.mkdir(parents=True)
    (cache / "assets").symlink_to(libero_assets)
    program = f"import os; del os.environ['{installation.ASSETS}']; {LOCATE}; print(installation.assets())"
    answer = python(program, HOME=str(tmp_path), WORLDVLA_HOME=str(tmp_path / "var"))
    assert answer.stdout.strip() == str(cache / "assets"), answer.stderr


def test_a_missing_mesh_is_named(tmp_path, libero_assets, monkeypatch):
    folder = tmp_path / "assets"
    shutil.copytree(libero_assets, folder, copy_function=os.symlink)
    [mesh, *_] = sorted(folder.glob("stable_hope_objects/milk/**/*.msh")) or sorted(folder.glob("**/milk/**/*.stl"))
    mesh.unlink()
    monkeypatch.setenv(installation.ASSETS, str(folder))
    with pytest.raises(UserError, match=f"milk_and_place_it_in_the_basket needs {mesh}, which is not there; unset"):
        suites.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket", rendering=False)
    monkeypatch.delenv(installation.ASSETS)
    monkeypatch.setattr(installation, "assets", lambda: folder)
    with pytest.raises(UserError, match=f"which is not there; remove {folder} to have all"):
        suites.make("libero_object", "pick_up_the_milk_and_place_it_in_the_basket", rendering=False)

"""The environment of the peers: lerobot and stable-worldmodel need other versions of torch and NumPy than ours.

`python -m benchmarks.loading_environment` makes it in the folder that WORLDVLA_PEERS names, else `worldvla-peers` in
the system's folder for temporary files. It takes 9 GB: lerobot 0.4 asks for a torch that the registry has with CUDA
alone, and stable-worldmodel decodes JPEG with the torchvision that belongs to it. lerobot decodes video with
torchcodec, which uses the system's FFmpeg.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PACKAGES = ("lerobot==0.4.4", "stable-worldmodel==0.1.1", "h5py", "hdf5plugin", "decord")
FOLDER = Path(os.environ.get("WORLDVLA_PEERS") or Path(tempfile.gettempdir()) / "worldvla-peers")
READY = FOLDER / "ready"
HOW = "`python -m benchmarks.loading_environment` makes one (9 GB); WORLDVLA_PEERS names where"
PEERS = FOLDER / "bin" / "python" if READY.exists() else None


def make() -> Path:
    """The environment's Python; installs it first where it is not there. Prints what it does."""
    python = FOLDER / "bin" / "python"
    if not READY.exists():
        print(f"installing {', '.join(PACKAGES)} into {FOLDER}", file=sys.stderr)
        venv.create(FOLDER, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-cache-dir", *PACKAGES], check=True)
        READY.touch()
    if shutil.which("ffmpeg") is None:
        raise SystemExit(
            "lerobot decodes video with FFmpeg's libraries: apt-get install --no-install-recommends ffmpeg"
        )
    return python


if __name__ == "__main__":
    print(make())

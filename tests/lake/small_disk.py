"""A file system too small for what is written to it: a tmpfs that root may mount."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def may_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    probe = "mkdir -p /tmp/probe && mount -t tmpfs -o size=64k tmpfs /tmp/probe"
    return subprocess.run(["unshare", "--mount", "sh", "-c", probe], capture_output=True).returncode == 0


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Callable[[int], object]]:
    """Mounts it on `folder`; yields a function that gives it another size in MiB."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)

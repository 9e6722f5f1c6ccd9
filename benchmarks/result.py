"""What every benchmark writes: figures with their unit, interval, n and target, and where they were measured."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"


def figure(
    name: str,
    value: float,
    unit: str,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    """One figure. With a target, `holds` says whether the value, or the interval where there is one, is on its side."""
    low, high = interval or (value, value)
    holds = None
    if at_least is not None:
        holds = low >= at_least
    if at_most is not None:
        holds = high <= at_most
    target = at_least if at_least is not None else at_most
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "interval": interval,
        "n": n,
        "target": target,
        "holds": holds,
    }


def write(name: str, protocol: dict[str, Any], figures: list[dict[str, Any]]) -> Path:
    """Writes results/NAME.json and prints the figures."""
    result = {
        "name": name,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "protocol": protocol,
        "figures": figures,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    for one in figures:
        verdict = "" if one["holds"] is None else f"  target {one['target']:g} {'holds' if one['holds'] else 'MISSED'}"
        interval = f" [{one['interval'][0]:.3f}, {one['interval'][1]:.3f}]" if one["interval"] else ""
        size = f" n = {one['n']}" if one["n"] else ""
        print(f"{one['name']}: {one['value']:.3f} {one['unit']}{interval}{size}{verdict}")
    return path


def commit() -> str:
    """The commit that is measured."""
    root = FOLDER.parent.parent
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def machine() -> dict[str, Any]:
    """Cores, what multiplies bf16 matrices (AMX does six times what AVX-512 does), memory and GPU of this machine, in
    words that name no machine."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    instructions = Path("/proc/cpuinfo").read_text().split()
    bf16 = next((one for one in ("amx_bf16", "avx512_bf16") if one in instructions), None)
    return {"cores": len(os.sched_getaffinity(0)), "bf16": bf16, "memory_gib": round(memory), "gpu": gpu}

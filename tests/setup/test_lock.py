"""The lock fits machines with and without a GPU, and holds for what pyproject.toml asks."""

import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from worldvla.home import project_root


def _pins() -> dict[str, str]:
    lines = (project_root() / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_requirement_is_pinned_within_its_range() -> None:
    project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    pins = _pins()
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_nothing_is_pinned_that_depends_on_the_machine() -> None:
    pins = _pins()
    assert "torchvision" not in pins  # breaks transformers, diffusers and torchmetrics beside a CPU torch
    assert not [version for version in pins.values() if "+" in version or "@" in version]
    assert not [name for name in pins if name == "triton" or name.startswith("cuda-") or "-cu1" in name]

"""Campaigns by name: the YAML file's defaults, presets and campaigns, and variants made with `--set`."""

import re
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from worldvla.config import Campaign
from worldvla.errors import UserError
from worldvla.home import campaigns_file, variants_directory

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def campaign_names() -> list[str]:
    """The campaigns of the file, then the variants kept in the home."""
    variants = sorted(path.stem for path in variants_directory().glob("*.yaml"))
    return [*_file()["campaigns"], *variants]


def load(name: str) -> Campaign:
    """The validated configuration of a campaign or variant; raises `UserError`."""
    return _validate(_settings(name), name)


def parse_setting(text: str) -> tuple[str, Any]:
    """`rl.updates=20` to ("rl.updates", 20); the value is read as YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UserError(f"--set {text!r}: write it as key=value, for example rl.updates=20")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text!r}: the value is not YAML: {error}") from None


def make_variant(base: str, settings: dict[str, Any], name: str | None = None) -> str:
    """Keeps a named variant of a campaign and returns its name; the same settings give the same name.

    A name that is taken by other settings is refused: a campaign's history must not change
    under it.
    """
    content: dict[str, Any] = {"campaign": base, "set": dict(sorted(settings.items()))}
    name = name or _check_name(base + "".join(f".{key}-{_slug(value)}" for key, value in content["set"].items()))
    _check_name(name)
    if name in _file()["campaigns"]:
        raise UserError(f"--name {name}: a campaign of {campaigns_file().name} has this name; choose another")
    _validate(_apply(_settings(base), content["set"]), f"{base} with {content['set']}")
    path = variants_directory() / f"{name}.yaml"
    if path.exists() and yaml.safe_load(path.read_text()) != content:
        raise UserError(f"--name {name}: {path} holds a variant with other settings; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=True))
    return name


def _settings(name: str) -> dict[str, Any]:
    """The merged, not yet validated settings of a campaign."""
    file = _file()
    if name in file["campaigns"]:
        own = dict(file["campaigns"][name] or {})
        preset = own.pop("preset", None)
        if preset is not None and preset not in file["presets"]:
            raise UserError(
                f"{campaigns_file()}: campaigns.{name}.preset is {preset!r}; "
                f"the presets are {', '.join(file['presets'])}"
            )
        layers = [file["defaults"], (file["presets"][preset] or {}) if preset else {}, own]
        return reduce(_merge, layers, {})
    path = variants_directory() / f"{name}.yaml"
    if NAME.fullmatch(name) and path.exists():
        variant = yaml.safe_load(path.read_text())
        return _apply(_settings(variant["campaign"]), variant["set"])
    raise UserError(f"no campaign {name!r}; the campaigns are {', '.join(campaign_names())}")


def _file() -> dict[str, Any]:
    path: Path = campaigns_file()
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; WORLDVLA_CAMPAIGNS names the campaigns file") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    for section in ("defaults", "presets", "campaigns"):
        if not isinstance(content, dict) or not isinstance(content.get(section), dict):
            raise UserError(f"{path}: the section {section!r} is missing or not a mapping")
    return content


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        deeper = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if deeper else value
    return merged


def _apply(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        settings = _merge(settings, nested)
    return settings


def _validate(settings: dict[str, Any], name: str) -> Campaign:
    try:
        return Campaign(**settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"campaign {name}: {problems}") from None


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(
            f"campaign name {name!r}: use letters, digits, '.', '_' and '-' only, at most 100; give one with --name"
        )
    return name


def _slug(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(value)).strip("-")

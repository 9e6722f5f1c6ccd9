"""Campaigns by name: the YAML file's defaults, presets and campaigns, and variants made with `--set`."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from worldvla.config import Campaign
from worldvla.errors import UserError
from worldvla.home import campaigns_file, variants_directory
from worldvla.whole_file import write_whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def campaign_names() -> list[str]:
    """The campaigns of the file, then the variants kept in the home."""
    variants = sorted(path.stem for path in variants_directory().glob("*.yaml"))
    return [*_file()["campaigns"], *variants]


def load(name: str) -> Campaign:
    """The validated configuration of a campaign or variant; raises `UserError`."""
    return _validate(_settings(name), name)


def default(section: str) -> Any:
    """A section's values in `defaults`, as the file has them."""
    return _file()["defaults"].get(section, {})


def parse_setting(text: str) -> tuple[str, Any]:
    """`rl.updates=20` to ("rl.updates", 20); the value is read as YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UserError(f"--set {text!r}: write it as key=value, for example rl.updates=20")
    return key.strip(), _yaml(value, f"--set {text!r}: the value")


def make_variant(base: str, settings: dict[str, Any], name: str | None = None) -> str:
    """Keeps a named variant of a campaign and returns its name; the same settings give the same name.

    A name that is taken by other settings is refused: a campaign's history must not change
    under it.
    """
    content: dict[str, Any] = {"campaign": base, "set": dict(sorted(settings.items()))}
    name = name or check_name(base + "".join(f".{key}-{_slug(value)}" for key, value in content["set"].items()))
    check_name(name)
    if name in _file()["campaigns"]:
        raise UserError(f"--name {name}: a campaign of {campaigns_file().name} has this name; choose another")
    _validate(_apply(_settings(base), content["set"]), f"{base} with {content['set']}")
    path = variants_directory() / f"{name}.yaml"
    if not path.exists():
        write_whole(path, yaml.safe_dump(content, sort_keys=True))
    elif _yaml(_text(path), str(path)) != content:
        raise UserError(f"--name {name}: {path} holds a variant with other settings; choose another name")
    return name


def _settings(name: str, varied: tuple[str, ...] = ()) -> dict[str, Any]:
    """The merged, not yet validated settings of a campaign; `varied` are the variants that led to it."""
    file = _file()
    if name in file["campaigns"]:
        return reduce(_merge, _layers(file, "campaigns", name), file["defaults"])
    path = variants_directory() / f"{name}.yaml"
    if NAME.fullmatch(name) and path.exists():
        base, changes = _variant(path)
        if name in varied:
            raise UserError(f"{path}: campaign {name} is a variant of itself; delete the file")
        try:
            return _apply(_settings(base, (*varied, name)), changes)
        except UserError as error:
            raise UserError(f"{path}, a variant of {base}: {error}") from None
    raise UserError(f"no campaign {name!r}; the campaigns are {', '.join(campaign_names())}")


def _layers(file: dict[str, Any], section: str, name: str, above: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What the presets below a campaign or preset set, then what it sets; `above` are the presets that led to it."""
    own = dict(file[section][name] or {})
    preset = own.pop("preset", None)
    if preset is None:
        return [own]
    where = f"{campaigns_file()}: {section}.{name}.preset is {preset!r}"
    if not isinstance(preset, str) or preset not in file["presets"]:
        raise UserError(f"{where}; the presets are {', '.join(file['presets'])}")
    if preset in above:
        raise UserError(f"{where}, which is built on {name} itself; name another preset")
    return [*_layers(file, "presets", preset, (*above, preset)), own]


def _variant(path: Path) -> tuple[str, dict[str, Any]]:
    """The campaign that a kept variant varies, and its settings."""
    content = _yaml(_text(path), str(path))
    fields = content if isinstance(content, dict) else {}
    base, changes = fields.get("campaign"), fields.get("set")
    if not isinstance(base, str) or not isinstance(changes, dict) or not all(isinstance(key, str) for key in changes):
        raise UserError(f"{path}: a variant is `campaign: NAME` and `set: {{key: value}}`; delete the file")
    return base, changes


def _file() -> dict[str, Any]:
    path: Path = campaigns_file()
    if not path.exists():
        raise UserError(f"{path} does not exist; WORLDVLA_CAMPAIGNS names the campaigns file")
    content = _yaml(_text(path), str(path))
    for section in ("defaults", "presets", "campaigns"):
        if not isinstance(content, dict) or not isinstance(content.get(section), dict):
            raise UserError(f"{path}: the section {section!r} is missing or not a mapping")
    for section in ("presets", "campaigns"):
        for name, settings in content[section].items():
            if not isinstance(name, str) or not isinstance(settings, dict | None):
                raise UserError(f"{path}: {section}.{name} must be a name and a mapping of settings")
    for name in content["campaigns"]:
        check_name(name)
    return content


def _text(path: Path) -> str:
    """What the file says; raises `UserError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; it is a text file in UTF-8") from None


@lru_cache(maxsize=8)
def _yaml(text: str, what: str) -> Any:
    """The plain data that a YAML text says, not to be changed; raises `UserError`. No tag constructs an object."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, yaml.YAMLError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{what} is not YAML that can be read: {said}") from None


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
        return Campaign.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"campaign {name}: {'; '.join(map(_problem, error.errors()))}") from None


def _problem(error: Any) -> str:
    """One of pydantic's errors as a person would put it."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        near = get_close_matches(key, sorted(_keys(Campaign)), 1)
        return f"there is no setting {key}" + (f"; did you mean {near[0]}?" if near else "")
    if error["type"] == "string_type":
        return f"{key}: {error['msg']}; YAML reads {error['input']!r} there, so write it in quotes"
    return f"{key}: {error['msg']}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Every setting of a model by its dotted name."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{name}.{inner}" for inner in _keys(field.annotation))


def check_name(name: str) -> str:
    """The name, which may become part of a file's; raises `UserError` where it may not."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"campaign name {name!r}: use letters, digits, '.', '_' and '-' only, at most 100; give one with --name"
        )
    return name


def _slug(value: Any) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(value)).strip("-")

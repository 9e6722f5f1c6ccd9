"""What a materialization is computed from, as one digest.

A fingerprint covers a node's code version, the configuration it reads and the data
versions of its parents. Equal fingerprints mean equal content, so what one campaign has
computed another can publish at once.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from worldvla.config import NEUTRAL, Campaign
from worldvla.lake.digests import digest
from worldvla.planner.graph import SUITE_VERSION, Node
from worldvla.sim import suites

SECTION_DIGITS = 12


def config_digest(node: Node, campaign: Campaign) -> str:
    """The sections a node reads, each with a digest of its values: `rl:0f3a…,seed:9b1c…`.

    One digest a section lets a comparison say which section changed.
    """
    excluding = {"curation"} if node.leaves_out and campaign.curation.exclude else set()
    return ",".join(f"{section}:{_section_digest(campaign, section)}" for section in sorted({*node.reads, *excluding}))


def settings_of(campaign: Campaign, section: str) -> Any:
    """A section of the configuration, or the part of one that dots lead to (`world_model.autoencoder`), or the version
    of the campaign's suite, None of an unknown one."""
    if section != SUITE_VERSION:
        return attrgetter(section)(campaign)
    suite = campaign.scene.suite
    return suites.version(suite) if suite in suites.SUITES else None


def changed_sections(old: str, new: str) -> list[str]:
    """The sections in which two config digests differ."""
    before, after = _by_section(old), _by_section(new)
    return sorted(section for section in before.keys() | after.keys() if before.get(section) != after.get(section))


def fingerprint(node: Node, code_version: str, config_digest: str, parents: Mapping[str, str]) -> str:
    """32 hex digits; `parents` maps each parent asset to its effective data version.

    The campaign is no part of it: campaigns that agree on all of this share the content.
    """
    return digest([node.name, code_version, config_digest, dict(parents)])


def _section_digest(campaign: Campaign, section: str) -> str:
    return digest(_shaping(settings_of(campaign, section)))[:SECTION_DIGITS]


def _shaping(value: Any) -> Any:
    """A value of the configuration without the settings that are at their neutral value."""
    if not isinstance(value, BaseModel):
        return value
    plain = value.model_dump(mode="json")
    for name, field in type(value).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and NEUTRAL in extra and plain[name] == extra[NEUTRAL]:
            del plain[name]
        elif isinstance(getattr(value, name), BaseModel):
            plain[name] = _shaping(getattr(value, name))
    return plain


def _by_section(config_digest: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in config_digest.split(",") if part)
    return {section: value for section, _, value in pairs}

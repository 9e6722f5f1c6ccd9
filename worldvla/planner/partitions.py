"""Iterations as partition keys: `0000`, `0001`, …; campaign-scope nodes have the key `""`."""

CAMPAIGN_SCOPE = ""


def iteration_key(number: int) -> str:
    return f"{number:04d}"


def iteration_number(key: str) -> int:
    return int(key)

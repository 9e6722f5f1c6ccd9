"""Upkeep of the lake: what is broken and can be mended, what nobody needs and can go."""

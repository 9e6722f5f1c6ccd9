"""Alignment: does the imagined outcome match the real one, and is that good enough."""

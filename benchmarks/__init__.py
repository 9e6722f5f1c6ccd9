"""Benchmarks: each runs from a clean state and writes benchmarks/results/NAME.json."""

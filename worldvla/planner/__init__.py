"""The planner: the asset graph with its back edge, fingerprints, and ordered plans."""

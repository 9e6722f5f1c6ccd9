"""Curation: which episodes become training data, under which label and split."""

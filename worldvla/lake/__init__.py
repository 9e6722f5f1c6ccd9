"""The lake: tables, digests, commits and lineage."""

"""The report: one self-contained HTML page of a campaign, read from the lake alone."""

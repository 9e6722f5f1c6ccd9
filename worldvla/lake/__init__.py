"""The lake: Lance tables, the digests that name their content, and the questions asked of them."""

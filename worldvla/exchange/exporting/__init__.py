"""Episodes out of the lake, in formats that other people's tools read."""

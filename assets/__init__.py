"""Assets and their checks, one module an artifact family. Thin: they call worldvla."""

"""The suites: what must hold of the rows of every table, and how those rows are read for an audit."""

"""The Dagster code location: definitions, jobs, schedules, and the launcher of single runs."""

"""Scripted experts for LIBERO's tasks: one file a family, `tasks.py` says which solves which."""

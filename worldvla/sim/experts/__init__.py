"""Scripted experts: one file a family of tasks."""

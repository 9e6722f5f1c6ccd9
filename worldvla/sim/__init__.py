"""Simulation: one protocol, its simulators, scripted experts and rollout workers."""

"""Reinforcement learning inside the world model."""

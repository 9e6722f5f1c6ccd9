"""Tracking: what MLflow is told of a training, and which policy is champion."""

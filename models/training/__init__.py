"""Trains an Estimator, keeps its best checkpoint, and exports it."""

"""Predictions for a table by a pushed model."""

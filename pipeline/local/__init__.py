"""Runs and searches on this machine."""

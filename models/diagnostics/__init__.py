"""Finds mistakes in a user's model, and explains each in one line with the line of their file."""

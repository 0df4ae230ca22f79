"""Mistakes in a user's model, each explained in one line that names the line of their file."""

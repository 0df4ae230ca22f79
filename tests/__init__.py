"""The tests. A package, since IPython brings another `tests` that would be found in its place."""

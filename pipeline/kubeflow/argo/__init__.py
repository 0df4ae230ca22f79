"""Argo Workflows as a file holds them: types, names, calls, arguments and locations."""

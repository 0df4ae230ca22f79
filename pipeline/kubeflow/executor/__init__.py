"""Executor of a compiled Argo Workflow on one machine."""

"""Executes a compiled Argo Workflow on one machine, as a cluster would."""

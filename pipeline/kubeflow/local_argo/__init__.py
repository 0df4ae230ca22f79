"""A small Argo for one machine: executes a compiled workflow without a cluster."""

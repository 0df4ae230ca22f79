"""Compiles the pipeline for Kubeflow, and checks what was compiled."""

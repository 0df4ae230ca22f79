"""The pipeline on Kubeflow: compiling, checking, executing and submitting it."""

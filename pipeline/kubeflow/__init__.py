"""The pipeline on Kubeflow: compiled, checked, executed, submitted."""

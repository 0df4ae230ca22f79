"""A Kubeflow Pipelines server: what `submit`, `schedule` and `schedules` ask of it."""

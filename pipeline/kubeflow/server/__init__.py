"""Client of a Kubeflow Pipelines server, for the commands `submit`, `schedule` and `schedules`."""

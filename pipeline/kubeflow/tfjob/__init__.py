"""Training on pods: the Trainer's step creates a TFJob and waits for it; see docs/distributed.md.

`tfjob_manifest` builds the TFJob when the pipeline is compiled, `tfjob_client` talks to the
cluster, `launcher` creates and deletes the job, `job_follower` follows it to its end, and
`task_states` describes its tasks.
"""

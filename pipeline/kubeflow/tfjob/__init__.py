"""Training on pods: the Trainer's step creates a TFJob and waits for it; see docs/distributed.md.

`manifest` builds the TFJob when the pipeline is compiled, `api` talks to the cluster, `launcher`
creates, follows and deletes the job, and `pods` describes the state of its tasks.
"""

"""Trains on pods: the Trainer's step makes a TFJob, and waits for it; see docs/distributed.md.

`manifest` is the TFJob, made when the pipeline is compiled, `api` asks a cluster for it, `launcher`
creates it, follows it and deletes it, and `pods` puts into words how its tasks are.
"""

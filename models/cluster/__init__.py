"""Trains an Estimator on many processes of this machine; see docs/distributed.md.

`layout` says which tasks there are and where, `task` is what the process of one does, `process` is
such a process as its supervisor sees it, and `supervisor` starts them, watches them, starts those
again that die or hang, and ends them all.
"""

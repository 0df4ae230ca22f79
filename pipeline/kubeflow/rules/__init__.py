"""Rules for a compiled workflow: one module for each kind of rule.

The modules that `lint` calls have `check(workflow) -> list[str]`, which returns one line per
problem: the location, what was found there and what was expected. All but `leaks` rely
on types that `argo.workflow_schema` has checked.
"""

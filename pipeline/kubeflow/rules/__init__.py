"""What a compiled workflow has to keep to: one module for each kind of rule.

Each has `check(workflow) -> list[str]`, with a line for each finding: the place, what was found
there, what was expected. All but `schema` and `leaks` presuppose that the types are right.
"""

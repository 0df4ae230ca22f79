"""How thoroughly properties are checked."""

import hypothesis


def examples(count: int) -> hypothesis.settings:
    """Returns settings for `count` examples, or a third where they are the same each time."""
    same_each_time = hypothesis.settings().derandomize
    return hypothesis.settings(
        max_examples=count // 3 if same_each_time else count,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )

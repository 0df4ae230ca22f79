"""Tests of a run's message about its push."""

import io
import pathlib

import pytest
from rich.console import Console

from pipeline.console import messages

VERSION = pathlib.Path("/models/17")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((True, VERSION, False), "Blessed and pushed to /models/17"),
        ((True, VERSION, True), "Blessed and unchanged; deployed at /models/17"),
        (
            (False, None, False),
            "Not blessed, so not pushed: the deployed model stays.",
        ),
        (
            (True, None, False, "version 18 was put beside it [by hand]"),
            "Blessed, but not pushed: version 18 was put beside it [by hand]; to deploy it "
            'anyway, give a reason: run --new-baseline "why"',
        ),
    ],
)
def test_the_result_of_a_push_is_one_line(arguments, said):
    stream = io.StringIO()
    messages.show_push(Console(file=stream, width=40), *arguments)
    assert stream.getvalue() == said + "\n"

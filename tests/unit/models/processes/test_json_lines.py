"""Tests of both ends of the messages between a process and its parent."""

import contextlib
import selectors

import pytest

from models.processes.json_lines import ChildProcess

PROGRAM = """
import os, sys
from models.processes.json_lines import Channel

channel = Channel()
print("printed, not a message")
while True:
    message = channel.receive()
    if message == "exit":
        sys.exit(3)
    channel.send(event="variable", value=os.environ.get(message))
    channel.send(event="arguments", value=sys.argv[1:])
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Yields a function that starts the program; what it prints goes to the file `log`."""
    (tmp_path / "answering.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.ExitStack() as stack:

        def start(**variables: str) -> ChildProcess:
            log = stack.enter_context((tmp_path / "log").open("wb"))
            process = ChildProcess(["answering", "a", "b"], variables, stderr=log)
            stack.callback(process.end)
            return process

        yield start


def received(process: ChildProcess, count: int) -> list:
    """Waits for messages until there are `count`, or the stream has ended."""
    messages: list = []
    with selectors.DefaultSelector() as selector:
        selector.register(process, selectors.EVENT_READ)
        while len(messages) < count and not process.has_ended:
            assert selector.select(timeout=60), "no message for a minute"
            messages += process.messages()
    return messages


def test_messages_are_kept_apart_from_printed_output(start, tmp_path):
    process = start(GREETING="hello")
    assert process.messages() == [], "reading does not wait"
    process.send("GREETING")
    assert [(m["event"], m["value"]) for m in received(process, 2)] == [
        ("variable", "hello"),
        ("arguments", ["a", "b"]),
    ]
    assert (tmp_path / "log").read_text() == "printed, not a message\n"


def test_the_end_of_a_process_is_noticed(start):
    process = start()
    process.send("exit")
    assert received(process, 1) == []
    assert process.has_ended
    process.send("GREETING")  # does not raise
    assert process.end() == "exit code 3"


def test_end_kills_the_process(start):
    process = start()
    process.send("GREETING")
    received(process, 2)
    assert process.end() == "signal 9"

"""Rules for what a workflow must not contain: local paths, secrets and too many bytes."""

import functools
import json
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from pipeline.kubeflow.argo import locations
from pipeline.kubeflow.step_container import OUTPUTS_DIRECTORY, REPOSITORY

WORKFLOW_BYTES = 2**20
"""The approximate size limit of an object in a cluster's store (etcd)."""
ARGUMENT_BYTES = 2**17
"""Linux's limit for an argument or variable, with its final null byte (MAX_ARG_STRLEN)."""

# A match must not continue another path; in JSON it may follow an escape such as "\\n".
_START = r"(?:(?<![\w./-])|(?<=\\[nrt]))"
_SECRETS = {
    "a PEM block": r"-----BEGIN [A-Z0-9 ]+-----",
    "an AWS key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": r"\bAIza[\w-]{35}",
    "a service account key": r'\\*"type\\*"\s*:\s*\\*"service_account|\\*"private_key\\*"\s*:',
    "a JSON web token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+",
    "a GitHub token": r"\b(gh[pousr]_\w{36}|github_pat_\w{22,})",
    "a Slack token": r"\bxox[abprs]-[\w-]{10,}",
    "a user's password": r"\w://[^\s/:@{}]*:[^\s/@{}]+@",
}
_SECRET_NAME = re.compile(
    r"(\w*(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIALS?|APIKEY)S?|(\w*_)?(KEYS?|CREDS))",
    re.IGNORECASE,
)
# Variables with these names hold the path of a secret.
_PLACE_NAME = re.compile(r"\w+_(FILE|PATH|DIR)|GOOGLE_APPLICATION_CREDENTIALS", re.IGNORECASE)


def check(workflow: Any) -> list[str]:
    """Returns the problems of paths, secrets and sizes; the tree need not be a workflow."""
    problems = list(_size(workflow))
    for location, text in locations.texts("", workflow):
        problems += _text(location or "workflow", text)
    problems += _variables("", workflow)
    return problems


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """Returns patterns for the start of a local path, each with a description."""
    directories = {"the project's checkout": REPOSITORY, "the home directory": pathlib.Path.home()}
    patterns = [
        (re.compile(rf"{_START}{re.escape(str(path))}(?![\w-])"), kind)
        for kind, path in directories.items()
        if path != pathlib.Path(path.anchor)
    ]
    temporary = re.escape(tempfile.gettempdir())
    outputs = re.escape(OUTPUTS_DIRECTORY)
    return [
        *patterns,
        (re.compile(rf"{_START}(?!{outputs}/){temporary}/"), "a temporary directory"),
        (re.compile(rf"{_START}/(home|root|Users)/"), "a home directory"),
        (re.compile(r"\bfile://"), "a file of this machine"),
    ]


def _text(location: str, text: str) -> Iterator[str]:
    for problem in _leaks(text):
        yield f"{location}: {problem}"
    size = len(text.encode())
    if size >= ARGUMENT_BYTES and not location.startswith("metadata."):
        yield (
            f"{location}: found {size:,} bytes, expected less than {ARGUMENT_BYTES:,} "
            "(Linux's limit)"
        )


@functools.lru_cache(1024)  # most texts are the same in every step
def _leaks(text: str) -> tuple[str, ...]:
    """Returns the problems of local paths and secrets in a text."""
    problems = []
    for pattern, kind in _paths():
        match = pattern.search(text)
        if match:
            shown = text[match.start() : match.start() + 60].split("\n")[0]
            problems.append(f"found {shown!r}, in {kind}, which the cluster does not have")
            break
    problems += [
        f"found {kind}, expected a reference to a secret (kubeflow.secrets)"
        for kind, expression in _SECRETS.items()
        if re.search(expression, text)
    ]
    return tuple(problems)


def _size(workflow: Any) -> Iterator[str]:
    text = json.dumps(workflow, separators=(",", ":"), default=str, ensure_ascii=False)
    size = len(text.encode())
    if size >= WORKFLOW_BYTES:
        yield f"workflow: found {size:,} bytes as JSON, expected less than {WORKFLOW_BYTES:,}"


def _variables(location: str, value: Any) -> Iterator[str]:
    """Checks that variables that are named like a secret take their value from a secret."""
    if isinstance(value, list):
        for inner, item in locations.entries(location, value):
            yield from _variables(inner, item)
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = locations.TEMPLATES if (location, key) == ("spec", "templates") else ""
            inner = inner or locations.below(location, key)
            if key == "env" and isinstance(item, list):
                for at, variable in locations.entries(inner, item):
                    yield from _variable(at, variable)
            yield from _variables(inner, item)


def _variable(location: str, variable: Any) -> Iterator[str]:
    name = variable.get("name") if isinstance(variable, dict) else None
    if not isinstance(name, str) or not _SECRET_NAME.fullmatch(name):
        return
    source = variable.get("valueFrom")
    referenced = isinstance(source, dict) and "secretKeyRef" in source
    if not referenced and not _PLACE_NAME.fullmatch(name):
        yield f"{location}: found a plain value under a secret's name, expected a secretKeyRef"

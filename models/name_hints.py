"""Hints for messages about names that nothing has."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns `; did you mean X? (known: ...)`, to end a message about an unknown name."""
    names = [str(known) for known in names]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (known: {', '.join(names)})"

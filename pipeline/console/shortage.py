"""Advice on errors that come from a shortage of disk space, memory or open files."""

import errno

_FULL = ("No space left on device", "disk is full", "Disk quota exceeded")
_NO_MEMORY = ("failed to map segment", "Cannot allocate memory", "can't start new thread")
"""How the dynamic loader, the operating system and Python report a lack of memory."""
_AGAIN = "then run the same command again to continue"


def advice(error: BaseException | None) -> str | None:
    """Returns what the machine lacked and what to do; None if the error has another cause."""
    error_code, text = getattr(error, "errno", None), str(error)
    if error_code in (errno.ENOSPC, errno.EDQUOT) or any(words in text for words in _FULL):
        where = f"{name}: " if (name := getattr(error, "filename", None)) else ""
        return f"{where}the disk is full; free some space, {_AGAIN}"
    if error_code in (errno.EMFILE, errno.ENFILE) or "Too many open files" in text:
        return f"too many open files; raise the limit (`ulimit -n 4096`), {_AGAIN}"
    lacks_memory = isinstance(error, MemoryError) or error_code == errno.ENOMEM
    if lacks_memory or any(words in text for words in _NO_MEMORY):
        return f"not enough memory; end other programs, or raise the limit (`ulimit -v`), {_AGAIN}"
    return None

"""Errors that a user can act on, and files that are either whole or not there."""

import contextlib
import os
import tempfile
from pathlib import Path


class CourseError(ValueError):
    """Bad input. The message names the thing, the value and the way out, in one line."""


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    A reader sees the old file or the new one, never half of one, whatever happens to the writer.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; ours are ordinary ones
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

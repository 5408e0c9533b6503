"""What probes share: asking an answer one thing at a time, so that one failure does not hide the rest."""

import contextlib
from contextvars import ContextVar

_raised = ContextVar("raised", default=None)


def ask(evidence, name, question):
    """evidence[name] = question(), or "TypeError: ..." if it raises.

    NotImplementedError gets through: it means that the exercise was not attempted.
    """
    try:
        evidence[name] = question()
    except NotImplementedError:
        raise
    except (Exception, SystemExit) as error:
        note(error)
        evidence[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def note(error):
    """Tell who listens (see `noting`) what an answer raised."""
    if (listener := _raised.get()) is not None:
        listener.append(error)


@contextlib.contextmanager
def noting():
    """Yields the list of what answers raise within the block."""
    token = _raised.set([])
    try:
        yield _raised.get()
    finally:
        _raised.reset(token)

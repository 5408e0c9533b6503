"""What probes and claims of all lessons share.

A probe asks its questions one by one with `ask`, within `undisturbed`, so that one failure does not hide the rest;
`collect` runs it where the answer lives. A claim is one function, `problem(evidence, expected)`: None where the claim
holds, otherwise the sentence for the student. Evidence is never trusted: it may lack keys, hold NaN, or texts in place
of numbers.
"""

import contextlib
import io
import linecache
import os
import random
import sys
import traceback
import warnings
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from course_utils.exercises import Claim

_raised = ContextVar("raised", default=None)
_answered = ContextVar("answered", default=None)  # the questions of the probe under way that have had an answer
LONGEST_SENTENCE = 199  # characters
LARGEST_ARRAY = 100_000  # values
LONGEST_TEXT = LONGEST_PRINT = 2000  # characters


# --- Where the answer lives ---


@dataclass(frozen=True)
class Findings:
    """What a probe brought back: plain data, to be judged elsewhere.

    Attributes:
        evidence: {name: array, number or text}.
        attempted: False if the answer raised NotImplementedError at the first question, and so is a skeleton yet.
        error: the first thing raised, in a line (none if not attempted); `where`: the student's line; `trace`: the
            whole traceback.
        printed: the beginning of what the answer printed.
    """

    evidence: dict
    attempted: bool = True
    error: str = ""
    where: str = ""
    trace: str = ""
    printed: str = ""


def collect(probe, answer, rng):
    """Run a probe; nothing outside the answer's own doing changes.

    Returns:
        Findings; whatever the answer raises is part of them, except KeyboardInterrupt.
    """
    evidence, skeleton = {}, None
    token = _answered.set([])
    with _as_before(), _quiet() as printed, noting() as raised:
        try:
            evidence = {str(name): plain(value) for name, value in probe(answer, rng).items()}
        except (Exception, SystemExit) as error:
            if _is_not_written(error):
                skeleton = error
            else:
                raised.insert(0, error)
    _answered.reset(token)
    if skeleton is not None:
        return Findings({}, attempted=False, where=_about(skeleton)["where"], printed=printed.text)
    return Findings(evidence, printed=printed.text, **(_about(raised[0]) if raised else {}))


def _is_not_written(error):
    """Is this the `raise NotImplementedError` of a skeleton of which nothing has worked yet? Libraries raise it too."""
    if not isinstance(error, NotImplementedError) or _answered.get():
        return False
    return _is_students(traceback.extract_tb(error.__traceback__)[-1].filename)


def plain(value):
    """A number, a text of limited length or an array of limited size; of anything else the description."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        fits = value.dtype.kind in "fiub" and value.dtype.itemsize <= 8 and value.size <= LARGEST_ARRAY
        return np.array(value, value.dtype.newbyteorder("="), order="C", subok=False) if fits else described(value)
    if type(value) is str:
        return value[:LONGEST_TEXT]
    return value if type(value) in (int, float, bool) else described(value)


class _Printed(io.TextIOBase):
    """Keeps the beginning of what is printed."""

    text = ""

    def write(self, text):
        self.text += text[: LONGEST_PRINT - len(self.text)]
        return len(text)


@contextlib.contextmanager
def _quiet():
    """No warning and nothing printed gets out; yields what is printed."""
    printed = _Printed()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield printed


@contextlib.contextmanager
def _as_before():
    """Give back seeds, grad mode, default dtype, threads, matplotlib settings and folder."""
    keep = [(random.setstate, random.getstate()), (os.chdir, os.getcwd()), (np.random.set_state, np.random.get_state())]
    if torch := sys.modules.get("torch"):
        keep.append((torch.set_rng_state, torch.get_rng_state()))
        keep.append((torch.set_grad_enabled, torch.is_grad_enabled()))
        keep.append((torch.set_default_dtype, torch.get_default_dtype()))
        keep.append((torch.set_num_threads, torch.get_num_threads()))
    if matplotlib := sys.modules.get("matplotlib"):
        keep.append((matplotlib.rcParams.update, matplotlib.rcParams.copy()))
    try:
        yield
    finally:
        for restore, value in keep:
            restore(value)


def _about(error):
    """The error in a line, the student's line that raised it, and the traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_students(frame.filename)]
    where = ""
    if frames:
        last = frames[-1]
        line = (last.line or linecache.getline(last.filename, last.lineno)).strip()
        named = not os.path.isabs(last.filename) and not last.filename.startswith("<")  # by the grader
        place = f"line {last.lineno} of {last.filename if named else 'the cell'}"
        where = f"{place}: {line}" if line else place
    text = " ".join(str(error).split())[:300]
    trace = "".join(traceback.format_exception(error))[-6000:]
    return {
        "error": f"{type(error).__name__}: {text}" if text else type(error).__name__,
        "where": where,
        "trace": trace,
    }


def _is_students(filename):
    """Is this a cell or a file of the student's, and not of the kit, a library or Python itself?"""
    kit = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = any(
        part in filename for part in ("site-packages", "dist-packages", "<frozen", f"{os.sep}lib{os.sep}python")
    )
    return not library and not os.path.abspath(filename).startswith(kit + os.sep)


# --- For probes ---


@contextlib.contextmanager
def undisturbed(rng):
    """Ask within: random numbers begin at a state that rng chooses, and settings of PyTorch at their defaults.

    Afterwards everything is as it was: the random numbers of Python, NumPy and PyTorch, grad mode, dtype, threads.
    """
    import torch

    seed = int(rng.integers(2**32))
    with _as_before(), torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        yield


def ask(evidence, name, question):
    """Note under `name` what a question brings back, or its error as a text, "TypeError: ...".

    A dict is noted value by value, as "name: key". The NotImplementedError of an answer that is not written yet goes
    through.
    """
    try:
        found = question()
        if (answered := _answered.get()) is not None:
            answered.append(name)
    except (Exception, SystemExit) as error:
        if _is_not_written(error):
            raise
        if (listener := _raised.get()) is not None:
            listener.append(error)
        found = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if isinstance(found, dict):
        evidence.update({f"{name}: {key}": value for key, value in found.items()})
    else:
        evidence[name] = found


@contextlib.contextmanager
def noting():
    """Yields the list of what answers raise within the block."""
    token = _raised.set([])
    try:
        yield _raised.get()
    finally:
        _raised.reset(token)


def ask_for_error(evidence, name, question):
    """The same where an error may be the right answer: it is not told to the student as one of theirs."""
    with noting():
        ask(evidence, name, question)


def described(value):
    """What came back in place of what was expected, as a text: "returned None", "returned a Tensor of shape (3,)"."""
    if value is None:
        return "returned None"
    name = type(value).__name__
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    return f"returned {'an' if name[0] in 'aeiou' else 'a'} {name}{shape}"[:100]


def number(value):
    """A Python number from a number, or from an array or tensor that holds one; of anything else the description."""
    single = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    if getattr(single, "size", None) == 1 and hasattr(single, "item"):
        single = single.item()
    if isinstance(single, int) and abs(single) < 2**53:
        return int(single)
    return float(single) if isinstance(single, int | float) else described(value)


def array(value):
    """A NumPy array of numbers from a tensor or an array; of anything else, or of too much, the description."""
    found = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub" or found.size > LARGEST_ARRAY:
        return described(value)
    return np.array(found)


# --- For claims ---


def claim(text, problem, points=1, hidden=False):
    """A claim made of one function: problem(evidence, expected) is None where it holds, or the sentence if not."""

    def found(evidence, expected):
        try:
            with np.errstate(all="ignore"):
                return problem(evidence, expected)
        except Exception:  # evidence may be anything, and what cannot be judged does not hold
            return f"what came back cannot be judged; expected is that {text}"

    def otherwise(evidence, expected):
        sentence = " ".join(str(found(evidence, expected)).split())
        return sentence if len(sentence) <= LONGEST_SENTENCE else sentence[: LONGEST_SENTENCE - 1] + "…"

    return Claim(text, lambda evidence, expected: found(evidence, expected) is None, otherwise, points, hidden)


def agrees(found, wanted, rtol=1e-4, atol=1e-5):
    """Whether two numbers or arrays of one shape agree; rtol goes by the largest value. NaN and texts never agree."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.dtype.kind not in "fiub" or wanted.dtype.kind not in "fiub" or found.shape != wanted.shape:
        return False
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    finite = np.abs(wanted[np.isfinite(wanted)])
    room = atol + rtol * finite.max() if finite.size else atol
    return bool(np.all((found == wanted) | (np.abs(found - wanted) <= room)))


def trouble(value, call, kind):
    """The sentence where no number or array came from a call: nothing, something else or an error. Otherwise None."""
    if value is None:
        return f"{call}: there is nothing to check; {kind} is expected"
    if not isinstance(value, str):
        return None
    if value.startswith("returned None"):
        return f"{call} returned nothing (None), expected {kind}: is a `return` missing?"
    if value.startswith("returned "):
        return f"{call} {value}; {kind} is expected"
    return f"{call} raised {value}"


def likely(found, causes, default):
    """The first of the causes, (value that the mistake gives, sentence), whose value came; or the default."""
    for value, cause in causes:
        if agrees(found, value, rtol=1e-4, atol=1e-4):
            return cause
    return default

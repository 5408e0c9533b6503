"""The inside of the sandbox: a process that imports torch once, and has a child of its own for each answer.

    python -m course_utils.grading.inside RUNG KITS LINE,SCRATCH:... HIDDEN...

Started by `sandbox.Sandboxes`, from a folder in which no reference, claim or seed exists. Over a line, a socket, it
gets for each answer a file with the job and a pipe for what comes of it. It hands both to a child and looks into
neither, so that nothing of one submission is in its memory when the next one comes. The child locks itself in before it
touches what was handed in. What it brings is data of known kinds, and may be forged: that gains nothing, since it is
judged elsewhere against values which no process in here has.
"""

import ast
import contextlib
import gc
import itertools
import json
import linecache
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import time
import types
from importlib import import_module

from course_utils.exercises.probing import collect
from course_utils.grading import isolation, reading

RUNGS = ("namespaces", "landlock", "rlimits")  # from the strongest down
HEAD = struct.Struct(">II")  # lengths of the header, JSON, and of the bytes after it
STOP = b"stop"
MEMORY, FILE_SIZE = 2 * 2**30, 2**20  # bytes; 64 files can be open, which need not have names
SCRATCH_SIZE, SCRATCH_FILES = 64 * 2**20, 2048  # bytes of all files, and their number
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


# --- Data across the border ---


def pack(header, arrays=None):
    """A message: a dict as JSON, then arrays as safetensors, or bytes as they are."""
    from safetensors.numpy import save

    blob = arrays if isinstance(arrays, bytes) else save(arrays) if arrays else b""
    text = json.dumps(header).encode()
    return HEAD.pack(len(text), len(blob)) + text + blob


def unpack(message):
    """(header, bytes) of a message.

    Raises:
        ValueError, RecursionError: it is none.
    """
    if len(message) < HEAD.size or len(message) != HEAD.size + sum(HEAD.unpack(message[: HEAD.size])):
        raise ValueError("torn, or no message")
    end = HEAD.size + HEAD.unpack(message[: HEAD.size])[0]
    return json.loads(message[HEAD.size : end]), message[end:]


# --- In the child: untrusted from here on ---


def read(job, blob):
    """What was handed in: see `reading.read`."""
    files, start = [], 0
    for name, size in job["files"]:
        files.append((name, blob[start : start + size]))
        start += size
    return pack(reading.read(files, job["answers"]))


def probe(job, blob):
    """Define the answer, ask it, and pack what was found out."""
    import numpy as np

    import_module("course_utils").__path__[:] = [os.path.join(job["kit"], "course_utils")]
    place, name = job["probe"]
    asks = getattr(import_module(place), name)
    findings = collect(lambda answer, rng: asks(defined(job), rng), None, np.random.default_rng(int(job["stream"], 16)))
    arrays = {name: value for name, value in findings.evidence.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in findings.evidence.items() if name not in arrays}
    said = {name: getattr(findings, name) for name in ("attempted", "error", "where", "trace", "printed")}
    return pack({"evidence": plain, **said}, {name: np.ascontiguousarray(value) for name, value in arrays.items()})


def defined(job):
    """Run the statements that define the answer, each program in a module of its own; returns the answer."""
    for label, source in job["cells"].items():
        linecache.cache[label] = (len(source), None, source.splitlines(keepends=True), label)
    bodies = {label: ast.parse(source).body for label, source in job["cells"].items()}
    answers = {}
    for program in job["programs"]:
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        vars(module).update(answers)
        if "reference" in program:
            place, _, symbol = program["reference"].partition(":")
            answers[program["answer"]] = getattr(import_module(place), symbol)
            continue
        for label, index in program["statements"]:
            statement = ast.Module([bodies[label][index]], [])
            exec(compile(statement, label, "exec", dont_inherit=True), vars(module))
            vars(module).update(answers)  # an import may have put the course's own in their place
        answers[program["answer"]] = vars(module).get(program["answer"])
    answer, name = answers[job["programs"][-1]["answer"]], job["programs"][-1]["answer"]
    if not callable(answer):
        raise TypeError(f"{name} is a {type(answer).__name__}; a function or class is expected")
    return answer


def confine(job, user, rung, paths, scratch):
    """Give up everything that an answer has no business with."""
    os.chdir(scratch)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    isolation.prctl(isolation.DIE_WITH_PARENT, signal.SIGKILL)
    isolation.become_nobody(user)
    isolation.prctl(isolation.DIE_WITH_PARENT, signal.SIGKILL)  # a change of user forgets it
    isolation.limit(int(job["seconds"]) + 1, MEMORY, FILE_SIZE, threads=64 if rung == "rlimits" else None)
    if rung != "rlimits":
        readable = [*paths, job["kit"]] if "kit" in job else paths
        isolation.landlock(readable, [scratch, *DEVICES])
        isolation.seccomp()


def child(task, pipe, *place):
    """Do the job, locked in, and end."""
    try:
        with os.fdopen(task, "rb") as file:
            job, blob = unpack(file.read())
        confine(job, *place)
        if "kit" in job:
            sys.path.insert(0, job["kit"])
        message = {"read": read, "probe": probe}[job["do"]](job, blob)
        while message:
            message = message[os.write(pipe, message) :]
    finally:
        os._exit(0)


# --- Around the child ---


def paths_to_read(hidden):
    """What an answer may read: Python and the libraries, without what is hidden."""
    roots = {os.path.realpath(path) for path in (*LIBRARIES, sysconfig.get_path("stdlib"), *sys.path) if path}
    roots.add(os.path.join(sys.base_prefix, "lib"))
    inner = {root for root in roots if any(root.startswith(other.rstrip("/") + "/") for other in roots)}
    return [path for root in sorted(roots - inner) for path in isolation.outside(root, set(hidden))]


def wait_for(pid, line, seconds, watched):
    """How a child ended: "done", the signal, "time", "files" for too many or too large ones, "flood" if told so.

    Args:
        watched: the folder that it may write to, if it is on a file system without a limit of its own.
    """
    process, deadline = os.pidfd_open(pid), time.monotonic() + seconds
    ready = end = None
    while not ready and not end:
        ready = select.select([process, line], [], [], 0.01)[0]  # seconds: in 0.05, 50 MiB can be written
        end = "time" if time.monotonic() > deadline else "files" if watched and is_full(watched, pid) else None
    os.close(process)
    if process not in ready:
        os.kill(pid, signal.SIGKILL)
        return "flood" if ready else end
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    names = {each.value: each.name for each in signal.Signals}
    return "done" if code >= 0 else names.get(-code, f"signal {-code}")


def is_full(folder, pid):
    """Does it hold more than an answer may write, those files counted that it removed and has mapped into memory?"""
    removed = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", errors="replace") as file:
        removed = sum(folder in line and line.endswith(" (deleted)\n") for line in file)
    size, count, places = removed * FILE_SIZE, 0, [folder]
    while places:
        try:
            entries = list(os.scandir(places.pop()))
            size += sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in entries)
        except FileNotFoundError:  # it has just gone
            continue
        except OSError:  # a path too long, or without permission: made so that nobody can look
            return True
        count += len(entries)
        if size > SCRATCH_SIZE or count > SCRATCH_FILES:
            return True
        places += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return False


def remove(folder):
    """Remove a folder, however deep, and whatever permissions were taken away; shutil.rmtree cannot.

    Raises:
        OSError, subprocess.SubprocessError: something is left.
    """
    subprocess.run(["chmod", "-R", "u+rwX", folder], stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", folder], check=True)


def kill_all():
    """No process that came from a child remains; each that loses its parent becomes ours."""
    while True:
        try:
            if os.getpid() == 1:
                os.kill(-1, signal.SIGKILL)
            else:
                for pid in _children():
                    os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.0005)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def empty(scratch, rung):
    """Nothing that an earlier answer wrote is left.

    Raises:
        OSError, subprocess.SubprocessError: some of it cannot be removed.
    """
    if rung == "namespaces":
        return isolation.fresh_folder(scratch, SCRATCH_SIZE, SCRATCH_FILES)
    if os.listdir(scratch):
        remove(scratch)
        os.mkdir(scratch)
    os.chmod(scratch, 0o777)


def serve(line, user, rung, paths, scratch):
    """Have a child for each order, until nobody is at the other end of the line any more."""
    while True:
        order, ends, _, _ = socket.recv_fds(line, 64, 2)
        if not order:
            return
        if order == STOP:  # came too late
            continue
        empty(scratch, rung)
        pid = os.fork()
        if pid == 0:
            for start, end in itertools.pairwise([2, *sorted(ends), 256]):
                os.closerange(start + 1, end)
            child(*ends, user, rung, paths, scratch)
        for end in ends:
            os.close(end)
        ended = wait_for(pid, line, int(order), "" if rung == "namespaces" else scratch)
        kill_all()
        line.send(ended.encode())


def climb(wanted):
    """Go to the rung wanted, or with "best" to the strongest that this machine allows.

    Returns:
        (rung, pid): pid is that of the process which goes on within namespaces, or 0 in the one that goes on.

    Raises:
        isolation.Unavailable: this machine does not allow it.
    """
    if wanted == "rlimits":
        return wanted, 0
    if not isolation.landlock_version():
        raise isolation.Unavailable("this kernel has no Landlock (Linux 5.13 and later have it)")
    if wanted in ("namespaces", "best"):
        try:
            isolation.enter_namespaces()
            return "namespaces", os.fork()
        except OSError:
            if wanted == "namespaces":
                raise
    return "landlock", 0


def step_down(line, wanted, paths, scratch):
    """Say who we are, go to the rung wanted, say which that is, and serve."""
    isolation.prctl(isolation.DIE_WITH_PARENT, signal.SIGKILL)
    user = isolation.NOBODIES[os.getpid() % len(isolation.NOBODIES)]  # limits of a user are not shared with others
    line.send(json.dumps({"pid": os.getpid()}).encode())
    try:
        rung, pid = climb(wanted)
        if pid:
            line.close()
            os.waitpid(pid, 0)
            return
        if rung == "namespaces":
            isolation.prctl(isolation.DIE_WITH_PARENT, signal.SIGKILL)
            isolation.mount_read_only()
        isolation.prctl(isolation.SUBREAPER, 1)
    except OSError as error:
        line.send(json.dumps({"error": str(error)}).encode())
        return
    os.environ.update(TMPDIR=scratch, HOME=scratch)
    line.send(json.dumps({"rung": rung}).encode())
    serve(line, user, rung, paths, scratch)


def _has_kit(path):
    """Is this a clone of the kit, which has the references?"""
    return os.path.isdir(os.path.join(path, "course_utils"))


def main(wanted, kits, lines, *hidden):
    """Import what most answers need, once; then have a process for each line, "number,scratch:..."."""
    starter = os.getppid()
    import cv2  # noqa: F401
    import numpy.random  # noqa: F401
    import PIL.Image  # noqa: F401
    import safetensors.numpy  # noqa: F401
    import torch

    torch.set_num_threads(1)
    base = os.path.join(kits, "base")
    sys.path[:] = [path for path in sys.path if path.endswith("-packages") or not _has_kit(path) or path == base]
    paths = [*paths_to_read([*hidden, kits]), base]
    gc.collect()
    gc.freeze()
    isolation.make_forks_cheap()
    places = [each.split(",") for each in lines.split(":")]
    for number, scratch in places:
        if os.fork() == 0:
            for other, _ in places:
                if other != number:
                    os.close(int(other))
            step_down(socket.socket(fileno=int(number)), wanted, paths, scratch)
            os._exit(0)
    for number, _ in places:
        os.close(int(number))
    for _ in places:
        os.wait()
    if os.getppid() != starter:  # it was killed, and cannot clear up
        remove(os.path.dirname(kits))


if __name__ == "__main__":
    main(*sys.argv[1:])

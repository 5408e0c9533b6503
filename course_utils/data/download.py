"""Downloads that end with the right file or with an error that says what to do; archives that stay in their folder."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

from course_utils.files import CourseError, atomic

CHUNK = 1 << 20  # bytes read from a file at a time
PACKET = 1 << 14  # bytes taken from the network at a time: what a broken connection loses of the last one is little
RESUMES = 20  # how often a transfer that breaks off is taken up again, as long as each attempt brings new bytes


def download(sources, target, *, size=None, sha256=None, progress=True, timeout=30):
    """Get a file from the first source that gives the right one. Where the right file stands already, nothing is done.

    A transfer that broke off goes on where it stopped, now or in the next call. The file appears under its name only
    when it is complete. Where no hash is known, the hash of the first download is written to `<name>.sha256.json`
    and whatever comes later must agree with it.

    Args:
        sources: tried in order. Each is an address (http, https), a file on this computer (a path or file://), or
            Google Drive's `drive:ID`. `drive:ID,ID,ID` means: the one of these that arrives under the name of `target`.
        target: the file to make.
        size, sha256: what is known of the right file: bytes, and 64 hexadecimal digits.
        progress: show a bar.
        timeout: seconds to wait for an answer, or for the next bytes.
    Returns:
        The path of the file.
    Raises:
        CourseError: no source gave the right file; the message lists what each said and how to do it by hand.
    """
    sources, target = [str(source) for source in sources], Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part, attempts = target.with_name(f"{target.name}.part"), []
    with alone(target):
        if target.exists():
            reason = _accept(target, target, size, sha256)
            if reason is None:
                return target
            attempts.append((f"the file that is there, {target}", reason))
        for source in sources:
            reason = _get(source, part, target, progress, timeout) or _accept(part, target, size, sha256)
            if reason is None:
                return target
            attempts.append((source, reason))
    raise CourseError(_all_failed(target, sources, attempts))


def _get(source, part, target, progress, timeout):
    """Bring `source` into `part`. None, or the reason why it did not work."""
    import requests

    try:
        if source.startswith("drive:"):
            _from_drive(source.removeprefix("drive:").split(","), part, target, progress)
        elif urlsplit(source).scheme in ("http", "https"):
            _from_web(source, part, target, progress, timeout)
        else:
            _from_file(source, part)
    except (requests.RequestException, OSError, CourseError) as error:
        return _reason(error)
    return None


def _accept(path, target, size, sha256):
    """Give the file its final name if it is the right one; else remove it (if it is new) and return what is wrong."""
    record = target.with_name(f"{target.name}.sha256.json")
    known = sha256 or _note(record).get("sha256")
    reason, actual = _wrong_content(path, target.suffix, size), None
    if reason is None:
        actual = _sha256(path)
        if known and actual != known.lower():
            reason = f"its SHA-256 is {actual[:12]}..., not {known[:12]}...: damaged, or another file"
            if not sha256:
                reason += f" than at the first download; if the source was renewed, delete {record.name}"
    if reason is None:
        os.replace(path, target)
        if not known:
            _write_note(record, {"sha256": actual, "size": target.stat().st_size})
    if path != target:
        path.unlink(missing_ok=True)
        _part_note(path).unlink(missing_ok=True)
    return reason


def _wrong_content(path, suffix, size=None):
    """What is wrong with a file that should be of this suffix and size; None if nothing is."""
    actual = path.stat().st_size
    with path.open("rb") as file:
        page = _web_page(file.read(CHUNK), suffix)
    if page:
        return page
    if not actual:
        return "it is empty"
    if size is not None and actual != size:
        return f"it has {actual:,} bytes, not {size:,}"
    if suffix.lower() == ".zip" and not zipfile.is_zipfile(path):
        return f"it is not a complete zip archive ({actual:,} bytes)"
    return None


def _web_page(start, suffix):
    """A sentence if these first bytes are a web page where another file should be; else None."""
    if suffix.lower() in (".html", ".htm") or not re.match(rb"\s*<(!doctype html|html)", start, re.IGNORECASE):
        return None
    text = start.decode("utf-8", "replace")
    if re.search(r"too many users have (viewed or )?downloaded", text, re.IGNORECASE):
        return "Google Drive says that too many users have downloaded this file recently"
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return f"a web page came instead of the file ({' '.join(title[1].split())[:80] if title else 'without a title'})"


def _sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error):
    """One line for what went wrong with a source."""
    import requests

    if isinstance(error, CourseError):
        return str(error)
    if isinstance(error, requests.TooManyRedirects):
        return "its redirects go round in a circle"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return "no connection"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _all_failed(target, sources, attempts):
    lines = [f"{target.name} could not be had; {len(attempts)} attempts failed:"]
    lines += [f"  {number}. {source}: {reason}" for number, (source, reason) in enumerate(attempts, start=1)]
    pages = []
    for source in sources:
        if source.startswith("drive:"):
            ids = source.removeprefix("drive:").split(",")
            pages += [f"https://drive.google.com/file/d/{name}/view" for name in ids]
        elif urlsplit(source).scheme in ("http", "https"):
            pages.append(source)
    where = f"fetch it in a browser ({' or '.join(pages)}) and " if pages else ""
    lines.append(f"By hand: {where}put it into {target.parent.absolute()} as {target.name}; then run this again.")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# The three kinds of source
# ---------------------------------------------------------------------------------------------------------------------


def _from_file(source, part):
    path = Path(unquote(urlsplit(source).path) if source.startswith("file://") else source).expanduser()
    if not path.is_file():
        raise CourseError("there is no such file")
    _part_note(part).unlink(missing_ok=True)
    room(part.parent, path.stat().st_size, path.name)
    shutil.copyfile(path, part)


def _from_web(url, part, target, progress, timeout):
    """Download into `part`. What breaks off is taken up again as long as each attempt brings new bytes."""
    import requests

    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, EOFError)
    for attempt in range(RESUMES):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _request(url, part, target, progress, timeout)
        except broken as error:
            after = part.stat().st_size if part.exists() else 0
            if after <= before or attempt == RESUMES - 1:
                came = f"the transfer broke off after {after:,} bytes: " if after else ""
                raise CourseError(came + _reason(error)) from None


def _request(url, part, target, progress, timeout):
    import requests

    note = _note(_part_note(part))
    start = part.stat().st_size if part.exists() and note.get("source") == url and note.get("version") else 0
    headers = {"Accept-Encoding": "identity"}  # else the byte counts would be those of the compressed form
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": note["version"]}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as reply:
        if start and not _continues(reply, start, note["version"]):
            if reply.status_code in (206, 416):  # it cannot go on from here: begin again
                part.unlink()
                return _request(url, part, target, progress, timeout)
            start = 0
        if reply.status_code not in (200, 206):
            raise CourseError(f"the server answers {reply.status_code} ({reply.reason or 'no reason given'})")
        _save(reply, url, part, target, start, progress)


def _continues(reply, start, version):
    same = _version(reply) in (version, None)
    return reply.status_code == 206 and same and reply.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _version(reply):
    """What tells one version of the file from the next; a weak ETag (W/...) does not promise the same bytes."""
    tag = reply.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else reply.headers.get("Last-Modified")


def _save(reply, url, part, target, start, progress):
    """Append the bytes of a reply to `part`, or write it anew if `start` is 0."""
    from tqdm.auto import tqdm

    length = reply.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() and "Content-Encoding" not in reply.headers else None
    chunks = reply.iter_content(PACKET)
    first = next(chunks, b"")
    page = None if start else _web_page(first, target.suffix)
    if page:
        raise CourseError(_web_page(first + b"".join(itertools.islice(chunks, 4)), target.suffix))
    room(part.parent, (total or start) - start, target.name)
    if not start:
        part.unlink(missing_ok=True)  # before the note: it must never speak of other bytes
    _write_note(_part_note(part), {"source": url, "version": _version(reply)})
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=target.name, disable=not progress)
    with bar, part.open("ab" if start else "wb") as file:
        for chunk in itertools.chain([first], chunks):
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and part.stat().st_size != total:
        raise EOFError(f"{part.stat().st_size:,} of {total:,} bytes came")


def _from_drive(ids, part, target, progress):
    """The file on Google Drive that arrives under the name of `target`, or the only one that was asked for.

    Files that arrive under other names are kept beside `target` under those names, and what each id is called is
    written down: no file is downloaded twice.
    """
    reasons = []
    for file_id in ids:
        record = target.parent / f".drive-{file_id}.json"
        name = _note(record).get("name", target.name)
        if len(ids) > 1 and name != target.name:
            reasons.append(f"{file_id} is {name}")
            continue
        try:
            arrived = _gdown(file_id, target.parent / f".drive-{file_id}", progress)
        except CourseError as error:
            reasons.append(str(error))
            continue
        _write_note(record, {"name": arrived.name})
        wanted = len(ids) == 1 or arrived.name == target.name
        place = part if wanted else target.parent / arrived.name
        if wanted or not place.exists():
            os.replace(arrived, place)
        shutil.rmtree(arrived.parent)
        if wanted:
            return _part_note(part).unlink(missing_ok=True)
        reasons.append(f"{file_id} is {arrived.name}")
    raise CourseError("; ".join(dict.fromkeys(reasons)))


def _gdown(file_id, folder, progress):
    """Download a file by its id into a folder of its own, under the name that Google Drive gives it."""
    import gdown

    folder.mkdir(parents=True, exist_ok=True)
    try:
        # The options that versions 5 and 6 share. A trailing separator keeps the file's own name.
        result = gdown.download(id=file_id, output=str(folder) + os.sep, quiet=not progress, resume=True)
    except Exception as error:  # many kinds, down to a KeyError for a missing header
        if "too many users" in " ".join(str(error).split()).lower():
            raise CourseError("Google Drive says that too many users have downloaded this file recently") from None
        raise CourseError(f"gdown: {' '.join(str(error).split())[:160] or type(error).__name__}") from None
    path = Path(result) if result else None
    if path is None or not path.is_file():
        shutil.rmtree(folder)  # version 5 returns None when it cannot choose between unfinished files
        raise CourseError("gdown returned no file")
    wrong = _wrong_content(path, path.suffix or ".zip")
    if wrong:
        shutil.rmtree(folder)
        raise CourseError(wrong)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Archives
# ---------------------------------------------------------------------------------------------------------------------


def extract(archive, folder, *, progress=True, max_bytes=200e9, max_ratio=100):
    """Unpack a zip archive into a new folder, which appears only when everything is in it. An existing one is returned.

    Entries that would leave the folder, links, encrypted archives and archives that unpack to far more than they
    weigh are refused before anything is written.

    Args:
        archive: a .zip file.
        folder: the folder to make.
        max_bytes: the most that it may unpack to.
        max_ratio: the most that it may unpack to, as a multiple of the archive's own size.
    Returns:
        The folder.
    Raises:
        CourseError: not a zip archive, damaged, unsafe, or too little room on the disk.
    """
    archive, folder = Path(archive), Path(folder)
    temporary = folder.with_name(f".{folder.name}.part")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if folder.is_dir() and any(folder.iterdir()):
            return folder
        shutil.rmtree(temporary, ignore_errors=True)  # of an extraction that was interrupted
        try:
            _extract(archive, temporary, progress, max_bytes, max_ratio)
            if folder.is_dir():
                folder.rmdir()
            os.replace(temporary, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise CourseError(f"{archive} is damaged ({error}); delete it and download it again") from None
        except OSError as error:
            raise CourseError(f"{archive} cannot be unpacked: {error}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _extract(archive, folder, progress, max_bytes, max_ratio):
    from tqdm.auto import tqdm

    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        for entry in entries:
            _check_entry(archive, entry)
        total = sum(entry.file_size for entry in entries)
        limit = min(max_bytes, max_ratio * archive.stat().st_size)
        if total > limit:
            raise CourseError(_too_much(archive, total, limit))
        room(folder.parent, total, f"the content of {archive.name}")
        folder.mkdir()
        with tqdm(total=total, unit="B", unit_scale=True, desc=folder.name[1:], disable=not progress) as bar:
            for entry in entries:
                path = folder / PurePosixPath(entry.filename.replace("\\", "/"))
                if entry.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _unpack(file, entry, path, bar)


def _unpack(file, entry, path, bar):
    """Write one entry, and no more bytes than it declares: what an archive says of itself can be false."""
    left = entry.file_size
    with file.open(entry) as source, path.open("xb") as output:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile(f"{entry.filename} is larger than it says")
            output.write(chunk)
            bar.update(len(chunk))
    if left:
        raise zipfile.BadZipFile(f"{entry.filename} is smaller than it says")


def _check_entry(archive, entry):
    """Refuse what has no place in a data set: ways out of the folder, links, devices, secrets."""
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    entry_name = f"{archive} is not safe: its entry {name!r}"
    if PureWindowsPath(name).anchor or ".." in re.split(r"[/\\]", name):
        raise CourseError(f"{entry_name} leaves the folder; get it from another source")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CourseError(f"{entry_name} is a link or a device; get it from another source")
    if entry.flag_bits & 1:
        raise CourseError(f"{archive} is encrypted; unpack it by hand")


def _too_much(archive, total, limit):
    grows = f"{archive} ({archive.stat().st_size:,} bytes) would unpack to {total:,} bytes"
    return f"{grows}, more than {limit:,.0f}; get it from another source"


# ---------------------------------------------------------------------------------------------------------------------
# Small things
# ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def alone(path):
    """Keep other processes that want to make the same file or folder waiting until this one is done with it."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that makes {path.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # some network drives cannot lock
            pass
        yield


def room(folder, needed, what):
    """Raise a CourseError unless the disk of `folder` has room for `needed` bytes and a little more."""
    free = shutil.disk_usage(folder).free
    if needed + 100e6 > free:
        lack = f"{what}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free in {folder}"
        raise CourseError(f"{lack}; make room, or choose another disk with the environment variable COURSE_HOME")


def _part_note(part):
    return part.with_name(f"{part.name}.json")


def _note(path):
    """A small JSON file as a dict; empty if there is none or it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_note(path, content):
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content))

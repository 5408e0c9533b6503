"""Downloads against a server that misbehaves, and archives that mean harm. Nothing here leaves this computer."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import sys
import threading
import time
import types
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from course_utils.data import download as module
from course_utils.data.download import download, extract
from course_utils.files import CourseError

QUOTA = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>Sorry, you can't view or "
    b"download this file at this time. Too many users have viewed or downloaded this file recently.</body></html>"
)


def zip_bytes(entries=None):
    """A zip archive in memory; by default one of about 100 kB that does not compress."""
    entries = entries or {"clean/1.png": bytes(range(256)) * 400}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


BODY = zip_bytes()
CUT = 2 * module.PACKET  # where connections break
SHA = hashlib.sha256(BODY).hexdigest()


class Server:
    """Each path behaves as told: `server.on["/a"] = function of the handler`; `server.seen` lists (path, Range)."""

    def __init__(self):
        outer, self.on, self.seen = self, {}, []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("Range")))
                outer.on[self.path](self)
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.http.server_port}{path}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def reply(body, code=200, length=None, send=None, **headers):
    """A behaviour: answer with `body`, or with its first `send` bytes and then hang up."""

    def behave(handler):
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body[:send])

    return behave


def ranged(body, tag='"one"', breaks_after=None):
    """A behaviour: serve ranges as HTTP says (If-Range too), hanging up after `breaks_after` bytes of each answer."""

    def behave(handler):
        start, code = 0, 200
        asked = handler.headers.get("Range")
        if asked and handler.headers.get("If-Range") == tag:
            start, code = int(asked.removeprefix("bytes=").rstrip("-")), 206
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.send_header("ETag", tag)
        if code == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.end_headers()
        handler.wfile.write(body[start:][:breaks_after])

    return behave


def get(sources, target, **options):
    return download(sources, target, progress=False, timeout=0.5, **options)


def fails(sources, target, **options):
    """The message of the error that the download must raise; nothing may stand under the final name."""
    with pytest.raises(CourseError) as error:
        get(sources, target, **options)
    assert not target.exists()
    return str(error.value)


def leftovers(folder):
    """What a user would see of unfinished work."""
    return sorted(path.name for path in folder.iterdir() if ".part" in path.name)


# --- what goes right -------------------------------------------------------------------------------------------------


def test_a_plain_download_and_the_second_call_without_network(server, tmp_path):
    server.on["/a.zip"] = reply(BODY)
    target = tmp_path / "new" / "a.zip"
    assert get([server.url("/a.zip")], target) == target
    assert target.read_bytes() == BODY
    assert leftovers(target.parent) == []
    assert json.loads((target.parent / "a.zip.sha256.json").read_text())["sha256"] == SHA
    get([server.url("/a.zip")], target)
    assert len(server.seen) == 1


def test_no_hash_record_where_the_hash_is_known(server, tmp_path):
    server.on["/a.zip"] = reply(BODY)
    get([server.url("/a.zip")], tmp_path / "a.zip", size=len(BODY), sha256=SHA.upper())
    assert not (tmp_path / "a.zip.sha256.json").exists()


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_file_on_this_computer(tmp_path, form):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a.zip").write_bytes(BODY)
    get([form.format(tmp_path / "mirror" / "a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_file_put_there_by_hand_is_taken_and_remembered(tmp_path):
    target = tmp_path / "a.zip"
    target.write_bytes(BODY)
    assert get([], target) == target
    target.write_bytes(zip_bytes({"other": b"content"}))
    with pytest.raises(CourseError, match=r"than at the first download.*delete a\.zip\.sha256\.json"):
        get([], target)


def test_a_saved_web_page_put_there_by_hand_is_not_taken(server, tmp_path):
    server.on["/a.zip"] = reply(BODY)
    (tmp_path / "a.zip").write_bytes(QUOTA)
    with pytest.raises(CourseError, match=r"the file that is there.*too many users"):
        get([], tmp_path / "a.zip")
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


# --- interrupted transfers -------------------------------------------------------------------------------------------


def test_a_dropped_connection_is_resumed_and_no_byte_comes_twice(server, tmp_path):
    server.on["/a.zip"] = ranged(BODY, breaks_after=CUT)
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert [asked for _, asked in server.seen] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-", f"bytes={3 * CUT}-"]


def test_the_next_call_goes_on_where_the_last_one_stopped(server, tmp_path):
    whole = ranged(BODY)
    server.on["/a.zip"] = lambda handler: (
        ranged(BODY, breaks_after=CUT)(handler) if len(server.seen) == 1 else handler.send_error(503)
    )
    fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").stat().st_size == CUT
    server.on["/a.zip"] = whole
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert server.seen[-1] == ("/a.zip", f"bytes={CUT}-")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert leftovers(tmp_path) == []


def test_a_server_that_ignores_ranges_starts_anew(server, tmp_path):
    server.on["/a.zip"] = lambda handler: reply(BODY, send=CUT if len(server.seen) == 1 else None, ETag='"one"')(
        handler
    )
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert server.seen[1][1] == f"bytes={CUT}-"
    assert (tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize("honest", [True, False], ids=["obeys If-Range", "ignores If-Range"])
def test_content_that_changed_meanwhile_is_never_spliced(server, tmp_path, honest):
    other = zip_bytes({"clean/1.png": bytes(range(255, -1, -1)) * 400})

    def behave(handler):
        if len(server.seen) == 1:
            return ranged(BODY, breaks_after=CUT)(handler)
        if not honest and handler.headers.get("If-Range"):
            handler.headers.replace_header("If-Range", '"two"')
        ranged(other, tag='"two"')(handler)

    server.on["/a.zip"] = behave
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == other


def test_without_a_version_to_compare_it_starts_anew(server, tmp_path):
    server.on["/a.zip"] = lambda handler: reply(BODY, send=CUT if len(server.seen) == 1 else None)(handler)
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert server.seen[1][1] is None
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_part_of_another_source_is_not_continued(server, tmp_path):
    server.on["/bad/a.zip"] = reply(BODY[::-1], send=CUT, ETag='"one"')
    server.on["/good/a.zip"] = ranged(BODY)
    get([server.url("/bad/a.zip"), server.url("/good/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.seen[-1][1] is None


def test_a_part_that_is_longer_than_the_file_starts_anew(server, tmp_path):
    def behave(handler):
        if handler.headers.get("Range"):
            return reply(b"", code=416)(handler)
        ranged(BODY)(handler)

    server.on["/a.zip"] = behave
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    (tmp_path / "a.zip.part.json").write_text(json.dumps({"source": server.url("/a.zip"), "version": '"one"'}))
    get([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


# --- what goes wrong, each with its reason ---------------------------------------------------------------------------


def test_a_length_that_is_never_reached(server, tmp_path):
    server.on["/a.zip"] = reply(BODY, length=len(BODY) + 1000)
    message = fails([server.url("/a.zip")], tmp_path / "a.zip")
    whole_packets = len(BODY) // module.PACKET * module.PACKET
    assert f"broke off after {whole_packets:,} bytes" in message


def test_a_short_reply_that_the_http_library_does_not_mind(server, tmp_path, monkeypatch):
    real = requests.Response.iter_content

    def lenient(self, size):
        with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
            yield from real(self, size)

    monkeypatch.setattr(requests.Response, "iter_content", lenient)
    server.on["/a.bin"] = reply(bytes(CUT), length=CUT + 1000)
    assert f"{CUT:,} of {CUT + 1000:,} bytes came" in fails([server.url("/a.bin")], tmp_path / "a.bin")


def test_a_length_that_is_too_short(server, tmp_path):
    server.on["/a.zip"] = reply(BODY, length=len(BODY) - 1000)
    assert "not a complete zip archive" in fails([server.url("/a.zip")], tmp_path / "a.zip")
    server.on["/a.bin"] = reply(b"123456", length=3)
    assert "it has 3 bytes, not 6" in fails([server.url("/a.bin")], tmp_path / "a.bin", size=6)
    server.on["/b.bin"] = reply(b"")
    assert "it is empty" in fails([server.url("/b.bin")], tmp_path / "b.bin")
    assert leftovers(tmp_path) == []


def test_the_quota_page_with_status_200(server, tmp_path):
    server.on["/a.zip"] = reply(QUOTA, Content_Type="text/html")
    message = fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert "Google Drive says that too many users have downloaded this file recently" in message
    assert leftovers(tmp_path) == []


def test_a_login_page_is_named_by_its_title_and_spares_what_had_come(server, tmp_path):
    server.on["/a.zip"] = lambda handler: (
        ranged(BODY, breaks_after=CUT)(handler)
        if len(server.seen) == 1
        else reply(b"\n<HTML><title>\nSign in\n</title></HTML>")(handler)
    )
    assert "a web page came instead of the file (Sign in)" in fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert (tmp_path / "a.zip.part").read_bytes() == BODY[:CUT]


@pytest.mark.parametrize("code, words", [(404, "404 (Not Found)"), (403, "403 (Forbidden)"), (500, "500 (Internal")])
def test_status_codes(server, tmp_path, code, words):
    server.on["/a.zip"] = lambda handler: handler.send_error(code)
    assert words in fails([server.url("/a.zip")], tmp_path / "a.zip")


def test_redirects_that_go_round(server, tmp_path):
    server.on["/a.zip"] = reply(b"", code=302, Location="/b.zip")
    server.on["/b.zip"] = reply(b"", code=302, Location="/a.zip")
    assert "redirects go round in a circle" in fails([server.url("/a.zip")], tmp_path / "a.zip")


def test_a_server_that_does_not_answer(server, tmp_path):
    done = threading.Event()
    server.on["/a.zip"] = lambda handler: done.wait(5)
    start = time.monotonic()
    assert "no answer in time" in fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert time.monotonic() - start < 3
    done.set()


def test_a_server_that_stops_midway(server, tmp_path):
    done = threading.Event()
    server.on["/a.zip"] = lambda handler: (reply(BODY, send=CUT)(handler), handler.wfile.flush(), done.wait(5))
    start = time.monotonic()
    assert "no answer in time" in fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert time.monotonic() - start < 4
    done.set()


def test_no_server_at_all(tmp_path):
    assert "no connection" in fails(["http://127.0.0.1:9/a.zip"], tmp_path / "a.zip")


def test_wrong_bytes_are_removed_and_the_next_mirror_is_tried(server, tmp_path):
    server.on["/wrong/a.zip"] = reply(zip_bytes({"other": b"x"}))
    server.on["/right/a.zip"] = reply(BODY)
    get([server.url("/wrong/a.zip"), server.url("/right/a.zip")], tmp_path / "a.zip", sha256=SHA)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    message = fails([server.url("/wrong/a.zip")], tmp_path / "b.zip", sha256=SHA)
    assert f"not {SHA[:12]}" in message
    assert leftovers(tmp_path) == []


def test_a_later_download_must_agree_with_the_first(server, tmp_path):
    server.on["/a.zip"] = reply(BODY)
    get([server.url("/a.zip")], tmp_path / "a.zip")
    (tmp_path / "a.zip").unlink()
    server.on["/a.zip"] = reply(zip_bytes({"other": b"x"}))
    assert "than at the first download" in fails([server.url("/a.zip")], tmp_path / "a.zip")


def test_one_error_lists_every_attempt_and_the_manual_way(server, tmp_path, monkeypatch):
    server.on["/a.zip"] = lambda handler: handler.send_error(404)
    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=lambda **options: None))
    message = fails([str(tmp_path / "no.zip"), server.url("/a.zip"), "drive:XYZ"], tmp_path / "a.zip")
    lines = message.splitlines()
    assert lines[0] == "a.zip could not be had; 3 attempts failed:"
    assert lines[1].endswith("no.zip: there is no such file")
    assert "404" in lines[2]
    assert lines[3] == "  3. drive:XYZ: gdown returned no file"
    assert "https://drive.google.com/file/d/XYZ/view" in lines[4]
    assert f"put it into {tmp_path} as a.zip" in lines[4]


def test_a_full_disk_is_found_before_the_transfer(server, tmp_path, monkeypatch):
    server.on["/a.zip"] = reply(BODY, length=5 * 10**9)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**9))
    message = fails([server.url("/a.zip")], tmp_path / "a.zip")
    assert "a.zip: 5.0 GB needed, 1.0 GB free" in message and "COURSE_HOME" in message
    assert leftovers(tmp_path) == []


def test_two_processes_share_one_download(server, tmp_path):
    server.on["/a.zip"] = lambda handler: (time.sleep(0.2), reply(BODY)(handler))
    calls = [threading.Thread(target=get, args=([server.url("/a.zip")], tmp_path / "a.zip")) for _ in range(3)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert len(server.seen) == 1


# --- Google Drive ----------------------------------------------------------------------------------------------------


class Drive:
    """Stands in for gdown 5.2.2: `files` maps an id to (name, content), None, or an exception.

    Like the original it returns a file that is there unseen, and None when it finds two unfinished ones.
    """

    def __init__(self, **files):
        self.files, self.calls = files, []

    def download(self, *, id, output, quiet, resume):
        self.calls.append(id)
        assert output.endswith(os.sep) and resume and quiet
        found = self.files[id]
        if isinstance(found, Exception):
            raise found
        if found is None:
            for name in ("one.part", "two.part"):
                open(output + name, "wb").close()
        if sum(name.endswith(".part") for name in os.listdir(output)) > 1:
            return None
        name, content = found
        if os.path.exists(output + name):
            return output + name
        with open(output + name, "wb") as file:
            file.write(content)
        return output + name


@pytest.fixture
def drive(monkeypatch):
    def install(**files):
        stand_in = Drive(**files)
        monkeypatch.setitem(sys.modules, "gdown", stand_in)
        return stand_in

    return install


def test_drive_takes_a_single_file_whatever_its_name(drive, tmp_path):
    drive(A=("other.zip", BODY))
    get(["drive:A"], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_drive_goes_by_the_arriving_name_and_downloads_nothing_twice(drive, tmp_path):
    contents = {name: zip_bytes({f"{name}/1.png": name.encode()}) for name in ("x.zip", "y.zip", "z.zip")}
    stand_in = drive(A=("z.zip", contents["z.zip"]), B=("x.zip", contents["x.zip"]), C=("y.zip", contents["y.zip"]))
    for name in contents:
        get(["drive:A,B,C"], tmp_path / name)
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents
    assert stand_in.calls == ["A", "B", "C"]


def test_drive_leaves_a_file_that_is_there_already(drive, tmp_path):
    (tmp_path / "z.zip").write_bytes(BODY)
    drive(A=("z.zip", zip_bytes({"other": b"x"})), B=("x.zip", BODY))
    get(["drive:A,B"], tmp_path / "x.zip")
    assert (tmp_path / "z.zip").read_bytes() == BODY


@pytest.mark.parametrize(
    "found, words",
    [
        (("a.zip", QUOTA), "too many users have downloaded"),
        (RuntimeError("\tToo many\n users have viewed or downloaded this file recently"), "too many users have"),
        (None, "gdown returned no file"),
        (KeyError("Content-Type"), "gdown: 'Content-Type'"),
        (("a.zip", BODY[:-50]), "not a complete zip archive"),
    ],
    ids=["page", "quota", "None", "odd error", "truncated"],
)
def test_what_drive_does_wrong(drive, tmp_path, found, words):
    drive(A=found)
    assert words in fails(["drive:A"], tmp_path / "a.zip")
    drive(A=("a.zip", BODY))  # the next day
    get(["drive:A"], tmp_path / "a.zip")
    assert not list(tmp_path.rglob("*.part"))


def test_drive_without_the_wanted_name(drive, tmp_path):
    drive(A=("z.zip", BODY), B=RuntimeError("private"))
    message = fails(["drive:A,B"], tmp_path / "x.zip")
    assert "A is z.zip" in message and "private" in message


# --- archives --------------------------------------------------------------------------------------------------------


def write_zip(path, entries=None):
    path.write_bytes(zip_bytes(entries))
    return path


def refused(archive, folder, words, **options):
    def everything():
        return sorted(path for path in folder.parent.parent.rglob("*") if not path.name.endswith(".lock"))

    before = everything()
    with pytest.raises(CourseError, match=words):
        extract(archive, folder, progress=False, **options)
    assert everything() == before  # nothing written, neither inside nor outside


@pytest.fixture
def place(tmp_path):
    """A folder to extract into whose parent can be watched for escapes."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in" / "data"


def test_extraction_and_its_repetition(tmp_path, place):
    archive = write_zip(tmp_path / "a.zip", {"clean/1.png": b"one", "scan\\1.png": b"two", "empty/": b""})
    assert extract(archive, place, progress=False) == place
    assert (place / "clean/1.png").read_bytes() == b"one"
    assert (place / "scan/1.png").read_bytes() == b"two"
    assert stat.S_IMODE((place / "clean/1.png").stat().st_mode) & 0o444 == 0o444
    archive.unlink()
    assert extract(archive, place, progress=False) == place


def test_an_empty_folder_and_the_rest_of_an_interruption_do_not_count(tmp_path, place):
    place.mkdir()
    (place.parent / ".data.part").mkdir()
    (place.parent / ".data.part" / "half.png").write_bytes(b"half")
    extract(write_zip(tmp_path / "a.zip", {"1.png": b"one"}), place, progress=False)
    assert [path.name for path in place.iterdir()] == ["1.png"]


def test_interruption_leaves_nothing_under_the_final_name(tmp_path, place, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_unpack", stop)
    with pytest.raises(KeyboardInterrupt):
        extract(write_zip(tmp_path / "a.zip"), place, progress=False)
    assert not place.exists()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/tmp/x", "..\\x", "C:\\x", "\\\\host\\x", "\\x", "C:x"])
def test_ways_out_of_the_folder(tmp_path, place, name):
    refused(write_zip(tmp_path / "a.zip", {"ok.png": b"ok", name: b"x"}), place, "leaves the folder")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices(tmp_path, place, kind):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
        file.writestr(entry, "/etc/passwd")
    refused(archive, place, "is a link or a device")


def bomb(path, size):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(size))
    return path


def test_bombs_that_say_so(tmp_path, place):
    archive = bomb(tmp_path / "a.zip", 10**7)
    refused(archive, place, "would unpack to 10,000,000 bytes")
    refused(archive, place, "more than 1,000", max_bytes=1000, max_ratio=1e6)
    extract(archive, place, progress=False, max_ratio=2000)
    assert (place / "zeros").stat().st_size == 10**7


def test_bombs_that_lie(tmp_path, place):
    archive = bomb(tmp_path / "a.zip", 10**7)
    content = archive.read_bytes()
    lie, truth = struct.pack("<L", 1000), struct.pack("<L", 10**7)
    assert content.count(truth) == 2  # in the entry's header and in the directory at the end
    archive.write_bytes(content.replace(truth, lie))
    refused(archive, place, "is damaged")


def test_bytes_are_counted_while_writing(tmp_path):
    class Source(io.BytesIO):
        def open(self, entry):
            return self

    entry = zipfile.ZipInfo("zeros")
    for actual, words in ((3 * module.CHUNK, "larger"), (10, "smaller")):
        entry.file_size = module.CHUNK
        with pytest.raises(zipfile.BadZipFile, match=words):
            module._unpack(Source(bytes(actual)), entry, tmp_path / words, types.SimpleNamespace(update=lambda n: None))
        assert (tmp_path / words).stat().st_size <= module.CHUNK


def test_damaged_archives(tmp_path, place):
    whole = zip_bytes()
    for broken in (whole[: len(whole) // 2], b"not a zip", whole.replace(bytes(range(256)), bytes(256), 1)):
        (tmp_path / "a.zip").write_bytes(broken)
        refused(tmp_path / "a.zip", place, r"a\.zip is damaged .*download it again")


def test_other_archives_that_cannot_be_unpacked(tmp_path, place):
    refused(tmp_path / "none.zip", place, "none.zip")
    content = bytearray(zip_bytes({"a": b"secret"}))
    for at in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[at] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    refused(tmp_path / "locked.zip", place, "is encrypted")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as file:
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    refused(tmp_path / "twice.zip", place, "cannot be unpacked")


def test_a_full_disk_is_found_before_unpacking(tmp_path, place, monkeypatch):
    archive = write_zip(tmp_path / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**8))
    refused(archive, place, "the content of a.zip: 0.0 GB needed, 0.1 GB free")

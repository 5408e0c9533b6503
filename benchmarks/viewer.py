"""How fast the comparer is, beside what notebooks use otherwise: one JupyterLab, one Chromium, one run.

    .venv/bin/python benchmarks/viewer.py [--json FILE] [--only moves,rivals,drawn,large]

How it measures
    Every figure is of a cell that runs in JupyterLab, its kernel the Python that runs this file, and of real mouse
    events: the browser gets them as from a mouse, not from a script in the page.

    A move begins at the time stamp of its pointer event, which the browser sets before it waits for the next frame. It
    ends when the frame that shows it is painted: a callback of requestAnimationFrame sends the page a message, which
    arrives only after this frame has been styled, laid out, painted and handed to the compositor. So waiting for the
    frame is counted; "in the page" is without it, from the event's arrival there to the same end. What the compositor
    and the screen take after that is in none of the figures, ours or theirs.

    For the comparer, the frame that shows a move is the first one whose clipped canvas ends within a pixel of the
    mouse. The rivals are timed more kindly: any new picture counts, as soon as it is loaded.

    Moves come in two ways: one at a time, each sent when the one before is on the screen, so that nothing queues (the
    latency); and 60 in a row, each sent when the page has taken the one before, which is once a frame (how many of them
    are ever shown). Bytes to and from the kernel are those of its websocket, counted by the browser.

    A cell begins when its first line asks for the time, and is drawn when the first frame is painted with its picture
    loaded (a canvas: drawn; the comparer: after it has said that it is ready). The clock is the same one for both.
    "Python" is the cell's own share, to its last line, with what it displays sent off. Every way of drawing is run
    once before it counts, so that all is imported. "Output" is what the notebook's file holds of it.

Why that is fair
    All get the same images, as the type they like best: uint8 arrays for the rivals, float tensors for the comparer,
    which has to convert them and measures PSNR and SSIM besides. matplotlib draws 512 pixels for 512, and no axes.
    jupyter_compare_view is timed with PNG, lossless as the comparer is, and with JPEG, its lossy default. It is
    installed for this run only, and left out with a message when it cannot be had.
"""

import argparse
import contextlib
import importlib.util
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import warn_if_busy, write_figures

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))  # they start the same servers

COMPARE_VIEW = "jupyter_compare_view==0.2.4"
PARTS = ("moves", "rivals", "drawn", "large")
SIZES = (512, 1024, 2048)
MOVES, RUNS, WAIT = 60, 5, 120  # moves of a drag, runs of a cell, seconds until something has failed

# ---- In the kernel

KERNEL = """
import io, json, sys, time
from pathlib import Path
import ipywidgets, numpy as np, skimage.data, torch
import matplotlib.pyplot as plt
from IPython.display import display
from PIL import Image
import course_utils as cu
from course_utils.viewer import compare

def pictures(size, seed=0):
    clean = cu.to_tensor(Image.fromarray(skimage.data.astronaut()).resize((size, size), Image.Resampling.BICUBIC))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    noisy = [(clean + level / 255 * noise).clamp(0, 1) for level in (25, 5)]
    return dict(zip(("scan", "restored", "original"), (*noisy, clean)))

def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=6)
    return file.getvalue()

def report(**figures):
    Path("report.json").write_text(json.dumps(figures))

def split(position, left, right):
    column = round(position * left.shape[1])
    return np.concatenate([left[:, :column], right[:, column:]], axis=1)

def slider():
    return ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.005, layout={"width": "700px"})

def interact(left, right):
    def show(position):
        plt.figure(figsize=(5.12, 5.12), dpi=100)
        plt.axes([0, 0, 1, 1]).imshow(split(position, left, right))
        plt.axis("off")
        plt.show()
    ipywidgets.interact(show, position=slider())

def image_widget(left, right):
    position, image = slider(), ipywidgets.Image(value=png(split(0.5, left, right)), format="png")
    position.observe(lambda change: setattr(image, "value", png(split(change.new, left, right))), "value")
    display(position, image)

def subplots(arrays):
    figure, axes = plt.subplots(1, 3, figsize=(15.36, 5.12), dpi=100)
    figure.subplots_adjust(0, 0, 1, 1, 0, 0)
    for axis, array in zip(axes, arrays):
        axis.imshow(array)
        axis.axis("off")
    plt.show()

tensors = pictures(512)
arrays = [cu.to_array(tensor) for tensor in tensors.values()]
"""
WITH_COMPARE_VIEW = """
sys.path.append({folder!r})
from jupyter_compare_view import compare as compare_view

def view(arrays, kind):
    display(compare_view(*arrays, start_mode="horizontal", display_format=kind))
"""
TIMED = """
start = time.time()
{code}
report(start=start, python_s=time.time() - start)
"""

# ---- In the page

PROBE = """(() => {
  const probe = window.probe = { moves: [], frames: [], shown() {}, ready: () => false, drawn: 0, pause: 0, beat: 0 };
  const channel = new MessageChannel();
  let ready = false;
  channel.port1.onmessage = () => { // after the frame is painted
    const now = performance.now();
    if (ready) probe.drawn = Date.now();
    const value = probe.shown();
    if (value === undefined || value === probe.last) return;
    probe.last = value;
    probe.frames.push([now, typeof value === "number" ? value : null]);
  };
  const frame = (now) => { // before it is painted
    ready = !probe.drawn && probe.ready();
    if (probe.beat) probe.pause = Math.max(probe.pause, now - probe.beat);
    probe.beat = now;
    channel.port2.postMessage(null);
    requestAnimationFrame(frame);
  };
  addEventListener("pointermove", (event) => {
    probe.moves.push([event.timeStamp, performance.now(), event.clientX]);
  }, true);
  requestAnimationFrame(frame);
})()"""
WATCH = "([ready, shown]) => Object.assign(probe, { ready: eval(ready), shown: eval(shown), drawn: 0, pause: 0 })"
FORGET = "() => Object.assign(probe, { moves: [], frames: [], last: probe.shown(), pause: 0 })"
RUN = """async (code) => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const { model } = notebook.widgets[0];
  notebook.activeCellIndex = 0;
  model.sharedModel.setSource(code);
  await jupyterapp.commands.execute("notebook:run-cell");
  for (let i = 0; i < model.outputs.length; i++) {
    const output = model.outputs.get(i);
    if (output.type === "error") throw new Error(`${output.toJSON().ename}: ${output.toJSON().evalue}`);
  }
}"""
BYTES = """() => { // of the output in the notebook's file; takes long enough to disturb what is timed
  const outputs = jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON();
  return new TextEncoder().encode(JSON.stringify(outputs)).length;
}"""
IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
OVER = "() => jupyterapp.shell.currentWidget.sessionContext.shutdown()"
OUTPUT = ".jp-Notebook .jp-OutputArea"


@dataclass(frozen=True)
class Way:
    """One way to compare images in a notebook.

    Attributes:
        code: the cell.
        ready: JavaScript; whether what the cell shows is there.
        shown: JavaScript; a value that changes with what is shown, undefined while nothing is; for `exact` the x of
            the line on the screen.
        handle: selector of what is dragged, by its middle.
        track: selector of what it is dragged along.
    """

    name: str
    code: str
    ready: str
    shown: str = "() => {}"
    handle: str = ""
    track: str = ""
    exact: bool = False


CANVAS = 'document.querySelector(".cu-compare")?.shadowRoot?.querySelector("canvas[data-side=left]")'
CUT = r"""() => {
  const canvas = %s;
  const cut = /inset\(\S+ ([\d.]+)px/.exec(canvas?.style.clipPath);
  return cut ? canvas.getBoundingClientRect().right - cut[1] : undefined;
}"""
IMAGE = f'document.querySelector("{OUTPUT} img")'
LOADED = f"() => {IMAGE}?.complete && {IMAGE}.naturalWidth > 0"
SOURCE = f'() => ({LOADED})() ? {IMAGE}.getAttribute("src") : undefined'
ROW = f"""() => {{ // the middle row of the canvas, as a number
  const canvas = document.querySelector("{OUTPUT} canvas");
  if (!canvas || canvas.width < 400) return undefined;
  const {{ data }} = canvas.getContext("2d").getImageData(0, canvas.height >> 1, canvas.width, 1);
  if (!data[3]) return undefined; // transparent: nothing is drawn yet
  return data.reduce((sum, value) => (31 * sum + value) % 4294967291);
}}"""
OURS = Way(
    "course_utils.compare",
    'display(compare(tensors, reference="original"))',
    '() => document.querySelector(".cu-compare")?.dataset.ready === "true"',
    CUT % CANVAS,
    ".cu-compare canvas[data-side=left]",
    ".cu-compare canvas[data-side=left]",
    exact=True,
)
SLIDER = {"handle": f"{OUTPUT} .noUi-handle", "track": f"{OUTPUT} .noUi-base"}
INTERACT = Way("interact and matplotlib", "interact(arrays[0], arrays[2])", LOADED, SOURCE, **SLIDER)
WIDGET = Way("image widget, PNG", "image_widget(arrays[0], arrays[2])", LOADED, SOURCE, **SLIDER)
VIEW = Way(
    "jupyter_compare_view, PNG",
    'view(arrays, "png")',
    f"() => ({ROW})() !== undefined",
    ROW,
    f"{OUTPUT} canvas",
    f"{OUTPUT} canvas",
)
VIEW_JPEG = Way("jupyter_compare_view, JPEG", 'view(arrays, "jpeg")', VIEW.ready)
SUBPLOTS = Way("matplotlib subplots", "subplots(arrays)", LOADED)
BATCH = """
first = pictures(512)
tensors = {k: torch.stack([first[k].roll(5 * page, -1) for page in range(100)]) for k in ("scan", "original")}
"""
PAIR = "tensors = pictures(4096); del tensors['restored']"


class Notebook:
    """A notebook of one cell in JupyterLab, with the bytes of its kernel's websocket counted."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        self.sent = self.received = 0
        page.on("websocket", self._listen)

    def _listen(self, websocket):
        if "/api/kernels/" in websocket.url:
            websocket.on("framesent", lambda frame: self._count("sent", frame))
            websocket.on("framereceived", lambda frame: self._count("received", frame))

    def _count(self, way, frame):
        setattr(self, way, getattr(self, way) + len(frame.encode() if isinstance(frame, str) else frame))

    def run(self, code, timed=False):
        """Run the cell; returns what it reported."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        self.page.evaluate(RUN, TIMED.format(code=code) if timed else code)
        return json.loads(report.read_text()) if report.exists() else {}

    def draw(self, way):
        """Run a way's cell and wait until it is drawn: {"drawn_ms", "python_s", "bytes", "pause_ms"}."""
        self.run("None")  # clears the output
        self.page.wait_for_timeout(1000)  # until all has come to rest
        self.page.evaluate(WATCH, [way.ready, way.shown])
        figures = self.run(way.code, timed=True)
        self.page.wait_for_function("() => probe.drawn", timeout=1000 * WAIT)
        drawn, pause = self.page.evaluate("() => [probe.drawn, probe.pause]")
        size = self.page.evaluate(BYTES)
        return figures | {"drawn_ms": drawn - 1000 * figures["start"], "pause_ms": pause, "bytes": size}


@contextlib.contextmanager
def notebook(browser, server, code=""):
    """A fresh notebook with a kernel of its own; both end with the block."""
    address, folder = server.address, server.root
    name = f"{len(list(folder.glob('*.ipynb')))}.ipynb"
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cell = {"cell_type": "code", "id": "0", "execution_count": None, "metadata": {}, "outputs": [], "source": ""}
    content = {"cells": [cell], "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
    (folder / name).write_text(json.dumps(content))
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(1000 * WAIT)
    try:
        opened = Notebook(page, folder)
        page.goto(f"{address}/lab/workspaces/auto-{name[:-6]}/tree/{name}?reset")
        page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
        page.wait_for_function(IDLE)
        opened.run(KERNEL + code)
        page.evaluate(PROBE)
        yield opened
        page.evaluate(OVER)
    finally:
        page.close()


def install_compare_view(folder):
    """Into a folder that is gone after the run, without the packages that it needs, which Jupyter has; or None."""
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else [shutil.which("uv")]
    if uv == [None]:
        print(f"{COMPARE_VIEW} is left out: uv, which installs it for this run, is not there (pip install uv)")
        return None
    command = [*uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    done = subprocess.run([*command, COMPARE_VIEW], capture_output=True, text=True)
    if done.returncode:
        print(f"{COMPARE_VIEW} is left out, it could not be installed: {done.stderr.strip()[:300]}")
        return None
    return folder


# ---- Moves


def grip(page, way):
    """((x, y) of what is dragged, (left, right) of where it can go), in view."""
    page.locator(way.track).first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    handle, track = (page.locator(selector).first.bounding_box() for selector in (way.handle, way.track))
    middle = (handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    return middle, (track["x"], track["x"] + track["width"])


def stops(span, count):
    """`count` whole places in the middle 80% of a span, from left to right."""
    left, right = span
    return [round(left + (0.1 + 0.8 * k / (count - 1)) * (right - left)) for k in range(count)]


@contextlib.contextmanager
def held(notebook, way):
    """The mouse holds the line; yields (the mouse, its y, where it can go)."""
    mouse = notebook.page.mouse
    (x, y), span = grip(notebook.page, way)
    mouse.move(x, y)
    mouse.down()
    mouse.move(span[0] + 5, y)
    notebook.page.wait_for_timeout(1500)  # until all has come to rest
    notebook.page.evaluate(FORGET)
    notebook.sent = notebook.received = 0
    yield mouse, y, span
    mouse.up()


def one_by_one(notebook, way, count=20):
    """Each move sent when the one before is shown: {"ms", "worst_ms", "sent", "received"}, bytes per move."""
    spent, chance = [], random.Random(0)
    with held(notebook, way) as (mouse, y, span):
        for x in stops(span, count):
            notebook.page.evaluate(FORGET)
            notebook.page.wait_for_timeout(chance.uniform(0, 50))  # at any time within a frame, as a hand would
            mouse.move(x, y)
            notebook.page.wait_for_function("() => probe.frames.length")
            moves, frames = notebook.page.evaluate("() => [probe.moves, probe.frames]")
            spent.append(frames[0][0] - moves[0][0])
        notebook.page.wait_for_timeout(500)  # what was sent late is counted too
        sent, received = notebook.sent / count, notebook.received / count
    return {"ms": statistics.median(spent), "worst_ms": max(spent), "sent": sent, "received": received}


def in_a_row(notebook, way, count=MOVES):
    """Moves at the pace of the page: {"moves", "frames", "sent"}: what the probe saw, and bytes per move."""
    with held(notebook, way) as (mouse, y, span):
        for x in stops(span, count):
            mouse.move(x, y)
        notebook.page.wait_for_timeout(500 if way.exact else 3000)  # the last frames of a kernel come late
        moves, frames = notebook.page.evaluate("() => [probe.moves, probe.frames]")
        return {"moves": moves, "frames": frames, "sent": notebook.sent / count}


def frames_of_moves(moves, frames):
    """For each move, from its event and from its arrival in the page to the frame that shows it; and those frames."""
    waits, works, shown = [], [], set()
    for stamp, arrived, x in moves:
        place = next((i for i, (now, at) in enumerate(frames) if now >= arrived and abs(at - x) <= 1), None)
        if place is not None:
            waits.append(frames[place][0] - stamp)
            works.append(frames[place][0] - arrived)
            shown.add(place)
    return waits, works, shown


def drag(notebook):
    """The comparer's line in a row of moves: {"ms", "worst_ms", "page_ms", "shown", "sent"}."""
    seen = in_a_row(notebook, OURS)
    waits, works, shown = frames_of_moves(seen["moves"], seen["frames"])
    if not waits:
        raise RuntimeError("no frame shows the line where the mouse is; does the comparer follow it?")
    median = statistics.median
    figures = {"ms": median(waits), "worst_ms": max(waits), "page_ms": median(works), "page_worst_ms": max(works)}
    return figures | {"shown": len(shown), "sent": seen["sent"]}


# ---- What is measured


def measure_moves(opened):
    """The comparer's line at three sizes."""
    figures = {}
    with opened() as notebook:
        for size in SIZES:
            notebook.run(f"tensors = pictures({size})")
            notebook.draw(OURS)
            notebook.page.wait_for_timeout(2000)  # the figures of what is in view are measured once
            figures[size] = drag(notebook)
    return figures


def measure_rivals(opened, ways):
    """Every way with the same 512x512 images."""
    figures = {}
    for way in ways:
        with opened() as notebook:
            notebook.draw(way)
            notebook.page.wait_for_timeout(2000)
            figures[way.name] = one_by_one(notebook, way)
            row = in_a_row(notebook, way)
            shown = frames_of_moves(row["moves"], row["frames"])[2] if way.exact else row["frames"]
            figures[way.name] |= {"shown": min(len(shown), MOVES)}
    return figures


def measure_drawn(opened, ways):
    """From the start of the cell to the painted frame: medians of RUNS runs, each with noise of its own."""
    figures = {}
    for way in ways:
        with opened() as notebook:
            runs = []
            for run in range(RUNS + 1):
                notebook.run(f"tensors = pictures(512, {run}); arrays = [cu.to_array(t) for t in tensors.values()]")
                runs.append(notebook.draw(way))
            size = notebook.run("report(png=sum(len(png(array)) for array in arrays))")["png"]
        drawn = [run["drawn_ms"] for run in runs[1:]]
        median = {key: statistics.median(run[key] for run in runs[1:]) for key in ("drawn_ms", "python_s", "bytes")}
        figures[way.name] = median | {"worst_ms": max(drawn), "png_bytes": size}
    return figures


def measure_large(opened):
    """100 pages, and one pair of 4096x4096: drawn, output, Python, and a drag afterwards."""
    figures = {}
    for name, code in {"100 pages of 512x512": BATCH, "a pair of 4096x4096": PAIR}.items():
        with opened() as notebook:
            notebook.run("tensors = pictures(64)")
            notebook.draw(OURS)
            notebook.run(code)
            drawn = notebook.draw(OURS)
            notebook.page.wait_for_timeout(2000)
            pages = notebook.page.evaluate("() => document.querySelectorAll('.cu-compare figure').length / 2")
            figures[name] = drawn | drag(notebook) | {"pages": pages}
    return figures


# ---- The tables


def line(name, *cells):
    print(f"  {name:28}" + "".join(f"{cell:>18}" for cell in cells))


def bytes_of(count):
    return f"{count:.0f} B" if count < 1024 else f"{count / 1024:,.0f} KiB"


def print_moves(figures):
    print("\nThe comparer: from a move of the mouse to the frame that shows the line there, 60 moves in a row")
    line("", "median", "worst", "in the page", "worst", "frames of 60", "sent per move")
    for size, seen in figures.items():
        spans = [f"{seen[key]:.1f} ms" for key in ("ms", "worst_ms", "page_ms", "page_worst_ms")]
        line(f"three images {size}x{size}", *spans, seen["shown"], bytes_of(seen["sent"]))


def print_rivals(figures):
    print("\n512x512: one move at a time, to the new picture; then 60 moves in a row")
    line("", "median", "worst", "rival / ours", "frames of 60", "sent per move", "received per move")
    ours = figures[OURS.name]["ms"]
    for name, seen in figures.items():
        spans = [f"{seen['ms']:.1f} ms", f"{seen['worst_ms']:.1f} ms", f"{seen['ms'] / ours:.1f}"]
        line(name, *spans, seen["shown"], bytes_of(seen["sent"]), bytes_of(seen["received"]))


def print_drawn(figures):
    print(f"\nThree 512x512 images: from the start of the cell to the painted frame, {RUNS} runs")
    line("", "median", "worst", "rival / ours", "Python", "output", "of their PNGs")
    ours = figures[OURS.name]["drawn_ms"]
    for name, seen in figures.items():
        spans = [f"{seen['drawn_ms']:.0f} ms", f"{seen['worst_ms']:.0f} ms", f"{seen['drawn_ms'] / ours:.1f}"]
        share = f"{100 * seen['bytes'] / seen['png_bytes']:.0f}%"
        line(name, *spans, f"{1000 * seen['python_s']:.0f} ms", bytes_of(seen["bytes"]), share)
    print(f"  The PNGs themselves, level 6: {bytes_of(figures[OURS.name]['png_bytes'])}")


def print_large(figures):
    print("\nLarge: until drawn, the longest pause between two frames meanwhile, and moves afterwards")
    line("", "drawn", "Python", "output", "pages shown", "pause", "move, median", "move, worst")
    for name, seen in figures.items():
        cells = [f"{seen['drawn_ms'] / 1000:.1f} s", f"{seen['python_s']:.1f} s", bytes_of(seen["bytes"])]
        moves = [f"{seen[key]:.1f} ms" for key in ("ms", "worst_ms")]
        line(name, *cells, f"{seen['pages']:.0f}", f"{seen['pause_ms']:.0f} ms", *moves)


def flat(results):
    """The numbers of all tables under one name each."""
    numbers = {}
    for size, seen in results.get("moves", {}).items():
        numbers |= {f"frame_{key}_{size}": seen[key] for key in ("ms", "worst_ms", "page_ms", "page_worst_ms", "shown")}
        numbers["sent_bytes_per_move"] = max(numbers.get("sent_bytes_per_move", 0), seen["sent"])
    short = {OURS.name: "compare", INTERACT.name: "interact", WIDGET.name: "image_widget", SUBPLOTS.name: "subplots"}
    short |= {VIEW.name: "compare_view", VIEW_JPEG.name: "compare_view_jpeg"}
    keys = {"ms": "move_ms", "worst_ms": "move_worst_ms", "shown": "frames_of_60"}
    keys |= {"sent": "sent_bytes_each", "received": "received_bytes_each"}
    for name, seen in results.get("rivals", {}).items():
        numbers |= {f"{short[name]}_{keys[key]}": value for key, value in seen.items()}
    for name, seen in results.get("drawn", {}).items():
        prefix = "" if name == OURS.name else f"{short[name]}_"
        numbers |= {f"{prefix}drawn_ms": seen["drawn_ms"], f"{prefix}drawn_worst_ms": seen["worst_ms"]}
        numbers |= {f"{prefix}python_s": seen["python_s"], f"{prefix}output_bytes": seen["bytes"]}
        numbers["png_bytes"] = seen["png_bytes"]
    for name, seen in zip(("batch", "pair"), results.get("large", {}).values(), strict=False):
        numbers |= {f"{name}_{key}": value for key, value in seen.items() if key != "start"}
    return numbers


# ---- The run


def needed():
    """Ends the program with a message if something is missing."""
    missing = (
        [] if shutil.which("chromium") or shutil.which("google-chrome") else ["Chromium (apt-get install chromium)"]
    )
    for package in ("playwright", "jupyterlab", "ipykernel", "nbformat"):
        if importlib.util.find_spec(package) is None:
            missing.append(f"{package} (pip install 'course-utils[lab,dev]')")
    if missing:
        print(f"This benchmark needs {', '.join(missing)}", file=sys.stderr)
        sys.exit(2)


def measure(folder, parts):
    """Every part's figures: {part: {row: {column: number}}}."""
    from front_ends import Server, chromium

    rivals, drawn, code = [OURS, INTERACT, WIDGET], [OURS, SUBPLOTS], ""
    if {"rivals", "drawn"} & set(parts) and (target := install_compare_view(folder / "packages")):
        rivals, drawn, code = [*rivals, VIEW], [*drawn, VIEW, VIEW_JPEG], WITH_COMPARE_VIEW.format(folder=str(target))
    measures = {
        "moves": measure_moves,
        "rivals": lambda opened: measure_rivals(opened, rivals),
        "drawn": lambda opened: measure_drawn(opened, drawn),
        "large": measure_large,
    }
    with Server("lab", folder / "jupyter") as server, chromium() as browser:
        return {part: measures[part](lambda: notebook(browser, server, code)) for part in parts}


def parts_of(text):
    parts = text.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {','.join(PARTS)}")
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--only", type=parts_of, default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)}")
    options = parser.parse_args()
    needed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the browser and the server end too
    load = warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="course-viewer-") as folder:
        results = measure(Path(folder), options.only)
    tables = {"moves": print_moves, "rivals": print_rivals, "drawn": print_drawn, "large": print_large}
    for part, figures in results.items():
        tables[part](figures)
    write_figures(flat(results) | {"load_before": load}, options.json)


if __name__ == "__main__":
    main()

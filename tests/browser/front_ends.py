"""Notebook front ends for tests: Jupyter servers with a home of their own, and a browser that asks nobody else.

    with chromium() as browser, Server("lab", folder) as server:
        server.write("lesson.ipynb", ["import course_utils as cu", "cu.compare(...)"])
        notebook = server.open(browser, "lesson.ipynb")
        notebook.run_all()

Kinds: "lab" (JupyterLab 4), "notebook7" (Notebook 7), "classic" (Notebook 6.5, the nearest to Colab). Which of them
can run is decided by what is installed beside the interpreter that runs the tests; it is also the kernel.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib import metadata

import nbformat

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ELSEWHERE = re.compile(r"^(?!file:|data:|blob:|about:|(?:http|ws)s?://127\.0\.0\.1[:/])")
ITS_OWN = re.compile(r"https?://127\.0\.0\.1:\d+/(static|lab/extensions/(?!anywidget)|nbextensions/(?!anywidget))")
KERNELS = re.compile(r"/api/(sessions|kernels)(\?|$)")
BOOT_SECONDS = 60
RUN_SECONDS = 120

# What a page must offer so that one test serves every front end. `run` and `runAll` settle when the kernel is done.
LAB_SCRIPT = """window.front = {
    panel() {
        const app = window.jupyterapp;
        return app && [...app.shell.widgets("main")].find(w => w.context && w.content && w.content.widgets);
    },
    loaded() { const p = front.panel(); return Boolean(p && p.context.isReady && p.content.widgets.length); },
    idle() { const k = front.panel()?.sessionContext?.session?.kernel; return Boolean(k && k.status === "idle"); },
    restored: () => window.jupyterapp.restored,
    runAll: () => jupyterapp.commands.execute("notebook:run-all-cells"),
    run(index) { front.select(index); return jupyterapp.commands.execute("notebook:run-cell"); },
    save: () => front.panel().context.save(),
    select(index) { front.panel().content.activeCellIndex = index; },
    cells: () => front.panel().content.widgets.map(c => [c.model.type, c.model.sharedModel.getSource()]),
    selected: () => front.panel().content.activeCellIndex,
    mode: () => front.panel().content.mode,
    outputs: i => front.panel().content.widgets[i].model.outputs?.toJSON() ?? [],
    trusted: () => front.panel().content.widgets.every(c => c.model.type !== "code" || c.model.trusted),
};"""
CLASSIC_SCRIPT = """window.front = {
    loaded: () => Boolean(window.Jupyter?.notebook?._fully_loaded),
    idle() { const n = Jupyter.notebook, k = n.kernel; return Boolean(k && k.is_connected() && !n.kernel_busy); },
    restored: () => true,
    executed: cell => new Promise(done => cell.events.on("finished_execute.CodeCell", function answer(_, data) {
        if (data.cell !== cell) return;
        cell.events.off("finished_execute.CodeCell", answer);
        done();
    })),
    async runAll() { for (const i of Jupyter.notebook.get_cells().keys()) await front.run(i); },
    run(index) {
        const cell = Jupyter.notebook.get_cell(index);
        if (cell.cell_type !== "code") return;
        const answer = front.executed(cell);
        Jupyter.notebook.execute_cells([index]);
        return answer;
    },
    save: () => Jupyter.notebook.save_notebook(),
    select: index => Jupyter.notebook.select(index),
    cells: () => Jupyter.notebook.get_cells().map(c => [c.cell_type, c.get_text()]),
    selected: () => Jupyter.notebook.get_selected_index(),
    mode: () => Jupyter.notebook.mode,
    outputs: i => Jupyter.notebook.get_cell(i).output_area?.toJSON() ?? [],
    trusted: () => Jupyter.notebook.trusted,
};"""
WITHIN = """async ([name, argument, seconds]) => {
    const late = `${name}: no answer in ${seconds} s`;
    const limit = new Promise((_, fail) => setTimeout(() => fail(new Error(late)), 1000 * seconds));
    const answer = await Promise.race([front[name](argument), limit]);
    return ["cells", "selected", "mode", "outputs", "trusted", "idle"].includes(name) ? answer : null;
}"""


@dataclass(frozen=True)
class Kind:
    """One front end: its name for people, the distributions that it needs ("": any version), how to start it."""

    title: str
    needs: dict
    module: str
    options: tuple
    address: str
    script: str


SERVER = (
    "--ServerApp.password=",
    "--IdentityProvider.token=",
    "--ServerApp.port_retries=0",
    "--ServerApp.disable_check_xsrf=True",  # the tests talk to it as well
)
CLASSIC_SERVER = tuple(re.sub("ServerApp|IdentityProvider", "NotebookApp", option) for option in SERVER)
KINDS = {
    "lab": Kind(
        "JupyterLab 4",
        {"jupyterlab": "4", "ipykernel": ""},
        "jupyterlab",
        (*SERVER, "--LabApp.expose_app_in_browser=True"),
        "/lab/workspaces/auto-{stem}/tree/{name}?reset",
        LAB_SCRIPT,
    ),
    "notebook7": Kind(
        "Notebook 7",
        {"notebook": "7", "ipykernel": ""},
        "notebook",
        (*SERVER, "--JupyterNotebookApp.expose_app_in_browser=True"),
        "/notebooks/{name}",
        LAB_SCRIPT,
    ),
    "classic": Kind(
        "Notebook 6",
        {"notebook": "6", "ipykernel": ""},
        "notebook",
        CLASSIC_SERVER,
        "/notebooks/{name}",
        CLASSIC_SCRIPT,
    ),
}


def missing(kind):
    """What keeps a front end from running here, in words, or None when nothing does."""
    for distribution, major in KINDS[kind].needs.items():
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return f"{KINDS[kind].title} needs {distribution}, which is not installed"
        if major and version.split(".")[0] != major:
            return f"{KINDS[kind].title} needs {distribution} {major}; {version} is installed"
    return None


@contextmanager
def chromium():
    """A headless Chromium, driven by Playwright; both are given back at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def guarded(browser, **options):
    """A page in a context of its own, the requests that it was refused, and the errors that are not a front end's."""
    options = {"service_workers": "block", "viewport": {"width": 1280, "height": 1100}} | options
    context = browser.new_context(**options)
    page, refused, complaints = context.new_page(), [], []

    def complain(text, origin):
        if not ITS_OWN.search(origin):
            complaints.append(f"{text} ({origin})")

    context.route(ELSEWHERE, lambda route: (refused.append(route.request.url), route.abort()))
    page.on("websocket", lambda socket: refused.append(socket.url) if ELSEWHERE.match(socket.url) else None)
    page.on("pageerror", lambda error: complain(error.message, _innermost(error.stack)))
    page.on("console", lambda said: complain(said.text, said.location.get("url", "")) if said.type == "error" else None)
    return page, refused, complaints


def _innermost(stack):
    """The first line of a JavaScript stack that names a place."""
    return next((line.strip() for line in (stack or "").splitlines() if "://" in line), "")


class Server:
    """A Jupyter server of a kind, with folders, port and kernel of its own; it stops when the `with` block ends."""

    def __init__(self, kind, folder):
        self.kind, self.folder, self.root = KINDS[kind], folder, folder / "notebooks"
        self.root.mkdir(parents=True)
        self.environment = self._home()
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"

    def _home(self):
        """Folders of its own: no setting, kernel or trust of the user's plays a part, and none is left behind."""
        spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
        spec |= {"display_name": "Python 3", "language": "python", "metadata": {"debugger": False}}
        quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
        _write_json(self.folder / "data" / "kernels" / "python3" / "kernel.json", spec)
        settings = self.folder / "config" / "labconfig" / "default_setting_overrides.json"
        _write_json(settings, {"@jupyterlab/apputils-extension:notification": quiet})
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        environment |= {
            f"JUPYTER_{name.upper()}_DIR": str(self.folder / name) for name in ("config", "data", "runtime")
        }
        environment |= {"IPYTHONDIR": str(self.folder / "ipython"), "JUPYTER_PREFER_ENV_PATH": "0"}
        return environment

    def __enter__(self):
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", self.kind.module, "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={port}", f"--notebook-dir={self.root}", *self.kind.options]
        with open(self.folder / "server.log", "wb") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            environment = self.environment
            # A session of its own: the whole group can be stopped by the number of this process.
            self.process = subprocess.Popen(command, cwd=self.root, env=environment, start_new_session=True, **streams)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait(self):
        until = time.monotonic() + BOOT_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            try:
                return self.ask("/api/status")
            except OSError:  # nobody listens yet
                time.sleep(0.1)
        log = (self.folder / "server.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.kind.title} did not answer at {self.address}; its log ends with:\n{log}")

    def stop(self):
        """End the server and its kernels: asked first, then told."""
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(seconds)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()

    def ask(self, path, content=None):
        """The JSON that the server answers to a GET, or to a POST of `content`."""
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(self.address + path, body, timeout=30) as response:
            return json.load(response)

    def write(self, name, cells):
        """A notebook of code cells (and markdown, for those that start with `#`) in the server's folder."""
        made = [nbformat.v4.new_markdown_cell(c) if c.startswith("#") else nbformat.v4.new_code_cell(c) for c in cells]
        notebook = nbformat.v4.new_notebook(cells=made)
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook.metadata.language_info = {"name": "python"}
        nbformat.write(notebook, self.root / name)
        return self.root / name

    def share(self, name, other):
        """Let a notebook that is not open yet have the kernel of one that is: kernels take seconds to import a lot."""
        kernel = next(session["kernel"] for session in self.ask("/api/sessions") if session["path"] == other)
        self.ask("/api/sessions", {"path": name, "name": name, "type": "notebook", "kernel": {"id": kernel["id"]}})

    def open(self, browser, name, kernel=True, **options):
        """Open a notebook and wait for its kernel. kernel=False: the page finds none running and can start none."""
        notebook = Notebook(*guarded(browser, **options))
        page = notebook.page
        page.add_init_script(self.kind.script)
        if not kernel:
            page.route(KERNELS, notebook.without_kernel)
        page.goto(self.address + self.kind.address.format(name=name, stem=name.partition(".")[0]))
        page.wait_for_function("front.loaded()")
        notebook.front("restored")
        if kernel:
            page.wait_for_function("front.idle()", timeout=1000 * BOOT_SECONDS)
        return notebook


@dataclass
class Notebook:
    """An open notebook: the page, the requests that it was refused, and the errors on its console."""

    page: object
    refused: list
    complaints: list
    held: list = field(default_factory=list)

    def front(self, name, argument=None, seconds=RUN_SECONDS):
        """Ask the front end for something (see LAB_SCRIPT), and wait for the answer, but not for ever."""
        return self.page.evaluate(WITHIN, [name, argument, seconds])

    def run_all(self):
        """Run every cell, in order."""
        self.front("runAll")

    def run(self, index):
        """Run one cell; returns the text that it printed."""
        self.front("run", index)
        return "".join(_joined(output["text"]) for output in self.outputs(index) if output["output_type"] == "stream")

    def outputs(self, index):
        """The outputs of one cell, as the notebook's file has them."""
        return self.front("outputs", index)

    def errors(self):
        """The error outputs of all cells."""
        outputs = [output for index, _ in enumerate(self.cells()) for output in self.outputs(index)]
        return [output for output in outputs if output["output_type"] == "error"]

    def cells(self):
        """[kind, source] of each cell."""
        return self.front("cells")

    def without_kernel(self, route):
        """Answer a question about kernels: none runs. A wish to start one gets no answer until the end."""
        if route.request.method == "GET":
            route.fulfill(json=[])
        else:
            self.held.append(route)

    def close(self):
        """Close the page; a front end that would ask whether to leave is not waited for."""
        for route in self.held:
            route.abort()
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.context.close()


def _joined(text):
    return text if isinstance(text, str) else "".join(text)


def _write_json(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))

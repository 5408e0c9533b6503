"""The comparer with Python behind it: it shows new images while code runs, and Python reads where the reader looks.

It lives as long as its kernel. For everything that is to be kept, saved or exported, use `compare`.
"""

import asyncio
import time

from course_utils.files import CourseError
from course_utils.viewer.compare import compare, core

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise CourseError("CompareWidget needs anywidget: pip install anywidget, then restart the kernel") from error

DOOR = """
const STATE = ["mode", "page", "position", "left", "right"]; // Python sets these; it only reads zoom and view

function content(model) {
  const { pages, ...config } = model.get("_content");
  const image = (bytes) => Object.assign(new Image(), { src: URL.createObjectURL(new Blob([bytes])) });
  return { ...config, pages: pages.map((page) => page.map(image)) };
}

function fromPython(model, names) {
  const state = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
  return { ...state, left: names.indexOf(state.left), right: names.indexOf(state.right) };
}

function tell(model) { // at most ten times a second
  let waiting = null, latest;
  return (report) => {
    latest = report;
    waiting ??= setTimeout(() => {
      waiting = null;
      model.set(latest);
      model.save_changes();
    }, 100);
  };
}

export default {
  async render({ model, el }) {
    const host = make("div", { class: "cu-compare", "data-lm-suppress-shortcuts": "true" });
    el.append(host);
    let shown = content(model);
    const comparer = await open(host, shown, tell(model));
    const renew = async () => {
      const before = shown;
      shown = content(model);
      await comparer.update(shown);
      before.pages.flat().forEach((image) => URL.revokeObjectURL(image.src));
    };
    const steer = () => comparer.set(fromPython(model, shown.names));
    steer();
    model.on("change:_content", renew);
    STATE.forEach((name) => model.on(`change:${name}`, steer));
    return () => {
      model.off("change:_content", renew);
      STATE.forEach((name) => model.off(`change:${name}`, steer));
      comparer.close();
    };
  },
};
"""


class CompareWidget(anywidget.AnyWidget):
    """The comparer as a widget: `update` shows new images, and the attributes tell what the reader does.

    Args:
        images, reference, view, mode, caption: as `compare` takes them.
        interval: seconds between two updates at least; of the images that come sooner, the last are shown.

    Attributes:
        position: of the line in split mode, 0 (left or top) to 1; can be set.
        mode, left, right, page: what is compared, `left` and `right` by name; can be set.
        zoom: screen pixels (CSS) for a pixel of the image; read it only.
        view: [top, left, height, width] of the visible part in pixels; read it only.

    Raises:
        CourseError: as `compare`; also without anywidget.
    """

    _esm = f"{core()}\n{DOOR}"
    _content = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(0.5).tag(sync=True)
    mode = traitlets.Unicode("split").tag(sync=True)
    left = traitlets.Unicode().tag(sync=True)
    right = traitlets.Unicode().tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)
    zoom = traitlets.Float(0).tag(sync=True)
    view = traitlets.List().tag(sync=True)

    def __init__(self, images, reference=None, *, view=None, mode="split", caption="", interval=1.0):
        self._comparison = compare(images, reference, view=view, mode=mode, caption=caption)
        self._interval, self._sent, self._waiting = interval, time.monotonic(), False
        left, right, *_ = self._comparison.images
        super().__init__(mode=mode, left=left, right=right, _content=self._packed())

    def __repr__(self):
        return f"CompareWidget, {self._comparison!r}"

    def update(self, images):
        """Show new images in place of those of the same name; the others stay. Sooner than `interval`, it waits.

        Args:
            images: name -> image, as `compare` takes them, of the size and the number of pages of the first ones.

        Raises:
            CourseError: a name that was not there at first, another size, or what `compare` raises.
        """
        before = self._comparison
        unknown = [name for name in images if name not in before.images]
        if unknown:
            raise CourseError(f"no image is called {', '.join(unknown)}; there are {', '.join(before.images)}")
        now = compare(
            before.images | images, before.reference, view=before.view, mode=before.mode, caption=before.caption
        )
        shapes = [tuple(next(iter(each.images.values())).shape) for each in (before, now)]
        if shapes[0] != shapes[1]:
            raise CourseError(f"the widget shows images of {shapes[0]}, not {shapes[1]}; make a new CompareWidget")
        self._comparison = now
        rest = self._sent + self._interval - time.monotonic()
        if rest <= 0:
            self.flush()
        elif not self._waiting:
            self._flush_in(rest)

    def flush(self):
        """Show the newest images now."""
        self._waiting, self._sent = False, time.monotonic()
        self._content = self._packed()

    def snapshot(self):
        """The images shown now as a Comparison, which stays when the kernel is gone."""
        now = self._comparison
        view = tuple(self.view) or None
        return compare(now.images, now.reference, view=view, mode=self.mode, caption=now.caption)

    def _flush_in(self, seconds):
        try:
            loop = asyncio.get_running_loop()  # the kernel's: it comes round when the cell is done
        except RuntimeError:
            return  # outside a notebook the next update shows them
        loop.call_later(seconds, self._flush_if_waiting)
        self._waiting = True

    def _flush_if_waiting(self):
        if self._waiting:
            self.flush()

    def _packed(self):
        shown, pages, note = self._comparison.shown()
        return self._comparison.config(len(pages)) | {"view": shown.view, "note": note, "pages": pages}

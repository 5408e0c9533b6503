"""The comparer with Python behind it: it shows new images while code runs, and Python reads where the reader looks.

It lives as long as its kernel. For everything that is to be kept, saved or exported, use `compare`.
"""

import asyncio
import time

import traitlets

from course_utils.files import CourseError
from course_utils.viewer.compare import MODES, Shown, compare, core, named

try:
    from anywidget import AnyWidget
except ImportError:  # the extra [live]; whoever makes a CompareWidget is told
    AnyWidget = None

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

function teller(model) { // tells Python what the reader does, at most ten times a second
  const teller = { telling: false, waiting: null };
  teller.tell = (report) => {
    teller.latest = report;
    teller.waiting ??= setTimeout(() => {
      const { view, ...state } = teller.latest;
      teller.waiting = null;
      teller.telling = true; // these changes are the reader's own: they steer nothing
      model.set({ ...state, _seen: view });
      teller.telling = false;
      model.save_changes();
    }, 100);
  };
  return teller;
}

export default {
  async render({ model, el }) {
    const host = make("div", { class: "cu-compare", "data-lm-suppress-shortcuts": "true" });
    el.append(host);
    let shown = content(model);
    const reader = teller(model);
    const comparer = await open(host, shown, reader.tell);
    const renew = async () => {
      const before = shown;
      shown = content(model);
      await comparer.update(shown);
      before.pages.flat().forEach((image) => URL.revokeObjectURL(image.src));
    };
    const steer = () => reader.telling || comparer.set(fromPython(model, shown.names));
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


class CompareWidget(AnyWidget or traitlets.HasTraits):
    """The comparer as a widget: `update` shows new images, and the attributes tell what the reader does.

    A slider that runs a restorer again:

        sigma = ipywidgets.IntSlider(25, 0, 75, description="noise level")
        live = CompareWidget({"noisy": image, "restored": image, "original": image}, "original", interval=0.1)
        def again(change):
            noisy = add_noise(image, sigma.value)
            live.update({"noisy": noisy, "restored": restore(model, noisy)})
        sigma.observe(again, "value")
        ipywidgets.VBox([sigma, live])

    Args:
        images, reference, view, mode, caption: as `compare` takes them.
        interval: seconds between two updates at least; of the images that come sooner, the last are shown.

    Attributes:
        position: of the line in split mode, 0 (left or top) to 1; can be set.
        mode, left, right, page: what is compared, `left` and `right` by name; can be set.
        zoom: screen pixels (CSS) for a pixel of the image; read it only.
        view: (top, left, height, width) of the visible part in pixels; read it only.

    Raises:
        CourseError: as `compare`; also without anywidget.
    """

    _esm = f"{core()}\n{DOOR}"
    _content = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(0.5).tag(sync=True)
    mode = traitlets.Enum(MODES, "split").tag(sync=True)
    left = traitlets.Unicode().tag(sync=True)
    right = traitlets.Unicode().tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)
    zoom = traitlets.Float(0).tag(sync=True)
    _seen = traitlets.List().tag(sync=True)  # the view, in pixels of what was sent
    view = traitlets.Tuple()

    def __init__(self, images, reference=None, *, view=None, mode="split", caption="", interval=1.0):
        if AnyWidget is None:
            raise CourseError("CompareWidget needs anywidget: pip install anywidget, then restart the kernel")
        self._comparison = compare(images, reference, view=view, mode=mode, caption=caption)
        self._interval, self._sent, self._waiting = interval, time.monotonic(), None
        left, right, *_ = self._comparison.images
        view = self._comparison.view or ()
        super().__init__(mode=mode, left=left, right=right, view=view, _content=self._packed())

    @traitlets.validate("left", "right")
    def _check_name(self, proposal):
        if proposal.value not in self._comparison.images:
            names = ", ".join(self._comparison.images)
            raise traitlets.TraitError(f"{proposal.trait.name}={proposal.value!r}: choose one of {names}")
        return proposal.value

    @traitlets.validate("page")
    def _check_page(self, proposal):
        pages = len(self._content["pages"])
        if not 0 <= proposal.value < pages:
            raise traitlets.TraitError(f"page={proposal.value}: the pages shown are 0 to {pages - 1}")
        return proposal.value

    @traitlets.observe("_seen")
    def _see(self, change):
        if not change.new:
            return
        height, width = next(iter(self._comparison.images.values())).shape[-2:]
        shown = Shown.of(len(self._comparison.images), height, width, self._comparison.view)
        top, left, rows, columns = (number * shown.factor for number in change.new)
        top, left = top + shown.top, left + shown.left
        self.view = (top, left, min(rows, height - top), min(columns, width - left))

    def __repr__(self):
        return f"CompareWidget, {self._comparison!r}"

    def update(self, images):
        """Show new images in place of those of the same name; the others stay. Sooner than `interval`, it waits.

        Args:
            images: name -> image, as `compare` takes them, of the size and the number of pages of the first ones.

        Raises:
            CourseError: a name that was not there at first, another size, or what `compare` raises.
        """
        before, images = self._comparison, named(images)
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
        elif self._waiting is None:
            self._flush_in(rest)

    def flush(self):
        """Show the newest images now."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting, self._sent = None, time.monotonic()
        self._content = self._packed()

    def snapshot(self):
        """The newest images as a Comparison, which stays when the kernel is gone; it begins where the reader looks."""
        now = self._comparison
        return compare(now.images, now.reference, view=self.view or None, mode=self.mode, caption=now.caption)

    def _flush_in(self, seconds):
        try:
            loop = asyncio.get_running_loop()  # the kernel's: it comes round when the cell is done
        except RuntimeError:
            return  # outside a notebook the next update shows them
        self._waiting = loop.call_later(seconds, self.flush)

    def _packed(self):
        shown, pages, note = self._comparison.shown()
        return self._comparison.config(len(pages)) | {"view": shown.view, "note": note, "pages": pages}

"""See what a network did: compare images pixel by pixel, lay them out in a grid, plot a training and its figures."""

from importlib import import_module

from course_utils.viewer.compare import Comparison, compare  # at once: the module of that name must not hide it

_EXPORTS = {
    "CompareWidget": "live",  # needs anywidget, the extra [live]
    "Picture": "plots",
    "plot_history": "plots",
    "plot_metrics": "plots",
    "show_batch": "plots",
    "table": "page",
    "write_page": "page",
}
__all__ = ["Comparison", "compare", *_EXPORTS]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(import_module(f"course_utils.viewer.{_EXPORTS[name]}"), name)
    raise AttributeError(f"course_utils.viewer has no {name!r}; it has {', '.join(__all__)}")

"""Lessons in image restoration: the helper package.

Everything heavy is imported when it is first used: `import course_utils as cu` takes milliseconds.
"""

from importlib import import_module

__version__ = "0.1.0"

# name -> the module that defines it
_EXPORTS = {
    "CourseError": "course_utils.files",
    "setup": "course_utils.profiles",
    "read_image": "course_utils.images",
    "write_image": "course_utils.images",
    "to_tensor": "course_utils.images",
    "to_array": "course_utils.images",
    "Board": "course_utils.board",
    "restore": "course_utils.inference",
    "fit": "course_utils.training",
    "mean_and_spread": "course_utils.seeds",
    "with_spread": "course_utils.seeds",
    "compare": "course_utils.viewer",
    "CompareWidget": "course_utils.viewer",
    "Picture": "course_utils.viewer",
    "show_batch": "course_utils.viewer",
    "plot_history": "course_utils.viewer",
    "plot_metrics": "course_utils.viewer",
    "check": "course_utils.grading.notebook",
    "hint": "course_utils.grading.notebook",
    "progress": "course_utils.grading.notebook",
}
_MODULES = (
    "augment",
    "board",
    "checkpoints",
    "colour",
    "data",
    "degrade",
    "features",
    "files",
    "images",
    "inference",
    "losses",
    "metrics",
    "models",
    "profiles",
    "training",
    "viewer",
)
__all__ = [*_EXPORTS, *_MODULES]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name in _MODULES:
        return import_module(f"course_utils.{name}")
    raise AttributeError(f"course_utils has no {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return [*globals(), *__all__]

"""Data: what there is (`datasets`), getting it (`fetch`), and pairs of images to train on (`PairedPatches`).

Nothing heavy is imported before a name is used.
"""

from importlib import import_module

# name -> the module that defines it
_EXPORTS = {
    "datasets": "course_utils.data.catalogue",
    "fetch": "course_utils.data.catalogue",
    "home": "course_utils.data.catalogue",
    "match_pairs": "course_utils.data.pairs",
    "check_pairs": "course_utils.data.pairs",
    "decode": "course_utils.data.cache",
    "random_patch": "course_utils.data.patches",
    "Patches": "course_utils.data.patches",
    "PairedPatches": "course_utils.data.patches",
    "PairedImages": "course_utils.data.pairs",
    "pairs_in": "course_utils.data.pairs",
    "hold_out": "course_utils.data.pairs",
    "training_pairs": "course_utils.data.pairs",
    "make_pages": "course_utils.data.pages",
    "course_pages": "course_utils.data.pages",
    "magazine_page": "course_utils.data.pages",
    "photographs": "course_utils.data.photos",
    "standard_set": "course_utils.data.photos",
}
__all__ = list(_EXPORTS)


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"course_utils.data has no {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return [*globals(), *__all__]

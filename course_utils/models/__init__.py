"""Networks, one short file each. A network is imported when it is first used."""

from importlib import import_module

# name -> the module that defines it; checkpoints.load_model builds these classes and no other
_EXPORTS = {
    "DnCNN": "course_utils.models.dncnn",
    "SRCNN": "course_utils.models.srcnn",
    "ESPCN": "course_utils.models.espcn",
    "ARCNN": "course_utils.models.arcnn",
    "AttentionDnCNN": "course_utils.models.attention",
}
__all__ = [*_EXPORTS]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"course_utils.models has no {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return [*globals(), *__all__]

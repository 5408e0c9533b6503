"""Is an answer right? The check in the notebook, with hints and a table of what has been done."""

from course_utils.grading.notebook import check, hint, progress

__all__ = ["check", "hint", "progress"]

"""Answers as students write them: wrong ones with the sentence that each must get, and right ones in other words.

WRONG: {exercise: {the mistake: (source of the answer, a part of the sentence)}}
RIGHT: {exercise: {what is different: source}}
LATER: {exercise: {a mistake of WRONG: {the beginning of a later claim: a part of its sentence}}}. One mistake breaks
several claims, and those after the first must not name a cause that is none.

Each lesson has a file of its own beside this one.
"""

from importlib import import_module
from pathlib import Path

_LESSONS = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("lesson_*.py"))]
WRONG = {name: answers for lesson in _LESSONS for name, answers in lesson.WRONG.items()}
RIGHT = {name: answers for lesson in _LESSONS for name, answers in lesson.RIGHT.items()}
LATER = {name: mistakes for lesson in _LESSONS for name, mistakes in getattr(lesson, "LATER", {}).items()}

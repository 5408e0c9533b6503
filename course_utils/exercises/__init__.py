"""What the lessons ask, declared as data: the answer's name, the reference, what is checked, and the hints.

One declaration serves the check in the notebook and the marks of a class. The *probe* runs where the answer lives and
brings back evidence: arrays, numbers and texts. The *claims* look at the evidence, and at what the same probe brings
back for the reference with the same seed; they need not trust, or even see, the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from course_utils.files import CourseError

LESSONS = {  # lesson -> the module here that declares its exercises
    "00_welcome": "lesson_00",
    "01_pixels_and_metrics": "lesson_01",
    "02_srcnn": "lesson_02",
    "03_espcn_portraits": "lesson_03",
    "04_arcnn": "lesson_04",
    "05_dncnn": "lesson_05",
    "06_augmentation": "lesson_06",
    "07_attention": "lesson_07",
    "08_perceptual_loss": "lesson_08",
}


@dataclass(frozen=True)
class Claim:
    """One thing that a right answer does.

    Attributes:
        text: what holds, as a student reads it: "the PSNR of a batch is the mean of its images' PSNR".
        holds: (evidence, expected) -> bool.
        otherwise: (evidence, expected) -> one sentence that names the value that came, what kind of value should have
            come, and the likely cause. Only called when the claim does not hold.
        points: what it is worth.
        hidden: checked when a class is graded, and not in the notebook.
    """

    text: str
    holds: Callable
    otherwise: Callable
    points: int = 1
    hidden: bool = False


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: what `check` is called with.
        lesson: the lesson it belongs to, for example "05_dncnn".
        answer: the name that the student defines.
        reference: "module:Symbol", the course's own answer.
        probe: (answer, rng) -> evidence, {name: array, number or text}. All chance comes from rng, a numpy Generator.
        claims: what is checked.
        hints: from a nudge to nearly all of it.
    """

    name: str
    lesson: str
    answer: str
    reference: str
    probe: Callable
    claims: tuple
    hints: tuple = ()

    def load_reference(self):
        """The course's own answer."""
        module, _, symbol = self.reference.partition(":")
        return getattr(import_module(module), symbol)

    @property
    def points(self):
        """Of all claims, hidden ones too."""
        return sum(claim.points for claim in self.claims)


def exercises(lesson=None):
    """All exercises, or those of a lesson, in the order of the course: {name: Exercise}.

    Raises:
        CourseError: no such lesson.
    """
    if lesson is not None and lesson not in LESSONS:
        raise CourseError(f"no exercises for the lesson {lesson!r}; there are some for {', '.join(LESSONS)}")
    modules = [LESSONS[lesson]] if lesson else LESSONS.values()
    declared = [each for module in modules for each in import_module(f"{__name__}.{module}").EXERCISES]
    return {exercise.name: exercise for exercise in declared}


def find(name):
    """The exercise of that name.

    Raises:
        CourseError: there is none; the message lists those there are.
    """
    known = exercises()
    if name not in known:
        raise CourseError(f"no exercise {name!r}; there are {', '.join(known)}")
    return known[name]

"""Runs that differ in their seed alone: what they have in common, and how far apart they are."""

import numpy as np

from course_utils.files import CourseError


def mean_and_spread(values):
    """(mean, sample standard deviation) of what several runs give; the spread of a single run is None: not known.

    A difference of two methods that is not clearly larger than their spreads says nothing.

    Args:
        values: numbers, one for each run.

    Raises:
        CourseError: no values.
    """
    values = np.array([float(value) for value in values])
    if not len(values):
        raise CourseError("there are no runs to take the mean of; give at least one value")
    with np.errstate(invalid="ignore"):  # equal images have an infinite PSNR, and infinities no spread: NaN
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def with_spread(values, form="{:.2f}"):
    """Mean and spread as text, "26.11 ± 0.12", or "26.11" for a single run.

    Args:
        values: numbers, one for each run.
        form: how one number is written.

    Raises:
        CourseError: no values.
    """
    return " ± ".join(form.format(number) for number in mean_and_spread(values) if number is not None)

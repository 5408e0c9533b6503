"""Mean and spread over seeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.files import CourseError
from course_utils.seeds import mean_and_spread, with_spread


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_as_numpy_says(values):
    mean, spread = mean_and_spread(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert spread == pytest.approx(np.std(values, ddof=1), abs=1e-6)


def test_a_single_run_has_no_spread():
    assert mean_and_spread([26.114]) == (26.114, None)
    assert with_spread([26.114]) == "26.11"


def test_as_text():
    assert with_spread([26.0, 26.2, 26.1]) == "26.10 ± 0.10"
    assert with_spread([0.5, 0.7], "{:.3f}") == "0.600 ± 0.141"
    assert math.isnan(mean_and_spread([math.nan, 1.0])[0])
    assert with_spread([math.inf, math.inf]) == "inf ± nan"


def test_no_runs_is_an_error():
    with pytest.raises(CourseError, match="at least one value"):
        mean_and_spread([])

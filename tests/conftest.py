"""What holds for every test: data and caches go to a folder of the test run, never to the user's."""

import os

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)  # the same examples each time: red means changed
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory):
    before = os.environ.get("COURSE_HOME")
    os.environ["COURSE_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["COURSE_HOME"]
    else:
        os.environ["COURSE_HOME"] = before


@pytest.fixture
def standard_set():
    """Gives the images of Set5, Set12, ... as float (3, H, W), by name; skips the test where they are not."""
    from course_utils import data
    from course_utils.images import to_tensor

    def images(name):
        found = data.standard_set(name)
        if not found:
            pytest.skip(f"no {name} here; name the folder that holds it in COURSE_BENCHMARKS")
        return [to_tensor(image) for image in found.values()]

    return images

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

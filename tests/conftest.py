"""What holds for every test: data and caches go to a folder of the test run, never to the user's."""

import os
from pathlib import Path

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
    from course_utils.images import read_image, to_tensor

    folder = Path(os.environ.get("COURSE_BENCHMARKS", Path(__file__).parents[2] / "shared" / "data"))

    def images(name):
        files = sorted(path for path in (folder / name).glob("*") if path.suffix in (".bmp", ".png"))
        if not files:
            pytest.skip(f"no {name} in {folder}; name the folder that holds it in COURSE_BENCHMARKS")
        return [to_tensor(read_image(file)) for file in files]

    return images

"""A small repository of lessons, for tests."""

import json

HEAD = '# minutes: test=0.5 cpu=6 gpu=15\n# %% [markdown] lang="en"\n# # A title\n'  # three lines
SETTINGS = '[tool.course]\nrepository = "https://github.com/someone/course"\nbranch = "main"\n'
ANSWERS = '''
import math

def half(x, by=2):
    """Half of x.

    More about it.
    """
    quotient = x / by
    return math.floor(quotient)

class Net:
    """A net."""

    def __init__(self, depth: int = 17):
        self.depth = depth

    def forward(self, x):
        return self._helper(x)

    def __len__(self):
        return 1

    def _helper(self, x):
        return x

constant = 3
'''


def notebook(root, path):
    return json.loads((root / path).read_text())

"""How DnCNN is trained for descanning under each profile, unless `course train` is told otherwise."""

from dataclasses import dataclass, replace

# What can be set, and what it means: the options of `course train`.
DESCRIPTION = {
    "depth": "convolutions of the network",
    "width": "feature maps between them",
    "patch": "side of the training patches in pixels",
    "batch_size": "patches in a batch",
    "steps": "batches to learn from, or",
    "seconds": "how long to train",
    "lr": "highest learning rate",
    "validate_every": "steps between validations",
}


@dataclass(frozen=True)
class Recipe:
    """A network and its training; the fields are those of DESCRIPTION."""

    depth: int
    width: int
    patch: int
    batch_size: int
    lr: float
    validate_on: int  # how many of the validation pairs
    steps: int | None = None
    seconds: float | None = None
    validate_every: int | None = None  # by default a tenth of the training

    @staticmethod
    def names():
        return tuple(DESCRIPTION)

    def but(self, **changes):
        """The same recipe with some settings changed; None changes nothing. Steps and seconds displace each other."""
        changes = {name: value for name, value in changes.items() if value is not None}
        if "seconds" in changes:
            changes = {"steps": None, "validate_every": None} | changes
        elif "steps" in changes:
            changes = {"seconds": None} | changes
        return replace(self, **changes)

    @property
    def network(self):
        return {"depth": self.depth, "width": self.width}

    @property
    def training(self):
        return {name: getattr(self, name) for name in ("steps", "seconds", "batch_size", "lr", "validate_every")}


RECIPES = {
    "test": Recipe(depth=4, width=8, patch=32, batch_size=4, steps=12, lr=3e-3, validate_every=6, validate_on=1),
    "cpu": Recipe(depth=5, width=32, patch=40, batch_size=8, seconds=45, lr=3e-3, validate_on=3),
    "gpu": Recipe(
        depth=17, width=64, patch=128, batch_size=32, steps=20_000, lr=1e-3, validate_every=1000, validate_on=6
    ),
}


def recipe(profile=None):
    """The recipe of a profile, by default of the current one."""
    from course_utils.profiles import current

    return RECIPES[profile or current().name]


def train(chosen, name_or_folder, out, *, seed=0, **options):
    """Train DnCNN by a recipe.

    Args:
        chosen: a Recipe.
        name_or_folder: a data set, see `data.training_pairs`.
        out: the folder for the checkpoints; used again, training goes on.
        seed: of the first weights and of the training samples.
        options: for `training.fit`.

    Returns:
        (the network with the best weights, the History of its training).

    Raises:
        CourseError: as `data.training_pairs`, `data.PairedPatches` and `training.fit`.
    """
    import torch

    from course_utils import data
    from course_utils.models import DnCNN
    from course_utils.training import fit

    training, validation = data.training_pairs(name_or_folder)
    torch.manual_seed(seed)
    model = DnCNN(**chosen.network)
    patches = data.PairedPatches(training, patch=chosen.patch, seed=seed)
    measured = data.PairedImages(validation[: chosen.validate_on])
    return model, fit(model, patches, measured, **chosen.training, out=out, seed=seed, **options)

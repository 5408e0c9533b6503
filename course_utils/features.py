"""Feature networks: what a perceptual loss compares two images with, in place of their pixels.

A feature network is a stack of convolutions that learned to tell images apart, and is not changed any more. What its
layers make of an image are *features*: where there are edges, corners, textures of a kind. `load` brings one, the
first three blocks of VGG (Simonyan and Zisserman, ICLR 2015), trained on the 1.2 million photographs of ImageNet, where
it can be had, and otherwise a small one that the kit trains in seconds on its own photographs; both have the same
layers under the same names: conv1_1, relu1_1, conv1_2, relu1_2, pool1, conv2_1, relu2_1, conv2_2, relu2_2, pool2,
conv3_1 and relu3_1.
"""

import contextlib
import hashlib
import json
import math
import os
import re
from collections import OrderedDict
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.data.catalogue import home
from course_utils.data.download import alone, download
from course_utils.files import CourseError, atomic
from course_utils.images import as_floats
from course_utils.profiles import current

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the photographs of ImageNet: red, green, blue
LAYERS = ("relu1_2", "relu2_2", "relu3_1")  # the end of the first two blocks, and the beginning of the third
VGG, SMALL = ((64, 64), (128, 128), (256,)), ((16, 16), (32, 32), (64,))  # maps of the convolutions, block by block
RECIPE = {"version": 1, "maps": SMALL, "steps": 1200, "batch": 32, "patch": 32, "lr": 3e-3, "seed": 0}
TRIAL_STEPS = 20  # under the profile `test`


def imagenet_normalised(images):
    """Images as networks trained on ImageNet expect them: minus its mean, divided by its spread, colour by colour.

    The mean of red, green and blue is 0.485, 0.456, 0.406, the standard deviation 0.229, 0.224, 0.225.

    Args:
        images: float (N, 3, H, W) in [0, 1]; they stay as they are.

    Returns:
        a new tensor of the same shape, with gradients, from about -2.1 to 2.6.
    """
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)  # one for each colour, the same for all pixels
    std = torch.tensor(STD, device=images.device).view(3, 1, 1)
    return (images - mean) / std


def features_at(network, images, layers):
    """What the named layers of a network make of images: {name: (N, maps, h, w)}, in the order of `layers`.

    The network is run layer by layer, and no further than needed.

    Args:
        network: nn.Sequential, whose layers have names (`named_children`).
        images: float (N, C, H, W), as the network expects them.
        layers: the names of some of its layers, in any order.

    Raises:
        CourseError: no layer of that name.
    """
    known = [name for name, _ in network.named_children()]
    if missing := [name for name in layers if name not in known]:
        raise CourseError(f"no layer {missing[0]!r} in the network; it has {', '.join(known)}")
    found, maps = {}, images
    for name, layer in network.named_children():
        if len(found) == len(set(layers)):
            break
        maps = layer(maps)
        if name in layers:
            found[name] = maps.clone()  # the next layer may be a ReLU that works in place, on these very numbers
    return {name: found[name] for name in layers}


class FeatureNetwork(nn.Sequential):
    """A network that is used and not trained: frozen, and always in evaluation mode.

    Args:
        layers: nn.Sequential with named layers; it takes images as `imagenet_normalised` gives them.
        name: what it is, in two or three words.
        origin: where its weights come from.

    Attributes:
        name, origin: as given.
    """

    def __init__(self, layers, name, origin):
        super().__init__(OrderedDict(layers.named_children()))
        self.name, self.origin = name, origin
        self.requires_grad_(False).eval()

    def train(self, mode=True):
        """Stays in evaluation mode, whatever is asked."""
        return super().train(False)


def load(source="auto", *, sha256=None, progress=True):
    """A frozen feature network, and one printed line if it is not the one that one would expect.

    What the environment variable COURSE_VGG names is taken first (an address or a file), by "auto" alone. Then, under
    the profile `gpu`, VGG-16 as torchvision publishes it (528 MB are downloaded once, 2 MB kept); under `cpu` the small
    network, on every computer, so that figures can be compared; under `test` always the small one, hardly trained.

    Args:
        source: "auto"; "small"; "random" (the small one, untrained); "vgg16"; or an address or a file with the weights
            of a VGG-16 or VGG-19, as torchvision names them (.pth or .safetensors).
        sha256: of that file, 64 hexadecimal digits. Without it, digits in its name count: vgg16-397923af.pth.
        progress: show a bar while something is downloaded or trained.

    Returns:
        A FeatureNetwork.

    Raises:
        CourseError: with a source other than "auto": no such file, another hash, no connection, no weights of VGG.
    """
    if source == "auto":
        return _first_that_works(_candidates(current().name), progress)
    if source == "small":
        return _small(progress)
    if source == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RECIPE["seed"])
            return FeatureNetwork(_balanced(_stack(SMALL)), "random features", "the small network, never trained")
    if source == "vgg16":
        return _published(progress)
    return _from_source(str(source), sha256, progress)


def _candidates(profile):
    """The sources that "auto" tries, in order."""
    own = [os.environ["COURSE_VGG"]] if os.environ.get("COURSE_VGG") and profile != "test" else []
    return own + (["vgg16"] if profile == "gpu" else []) + ["small"]


def _first_that_works(sources, progress):
    for source in sources[:-1]:
        try:
            return load(source, progress=progress)
        except CourseError as error:
            print(f"features of the small network instead of {source}: {str(error).splitlines()[-1].strip()[:300]}")
    return load(sources[-1], progress=progress)


# --- The layers ---


def _stack(blocks):
    """nn.Sequential of 3x3 convolutions and ReLUs, a max pooling between blocks: VGG, for any numbers of maps."""
    layers, channels = OrderedDict(), 3
    for i, block in enumerate(blocks, 1):
        if i > 1:
            layers[f"pool{i - 1}"] = nn.MaxPool2d(2)
        for j, maps in enumerate(block, 1):
            layers[f"conv{i}_{j}"] = convolution = nn.Conv2d(channels, maps, kernel_size=3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers[f"relu{i}_{j}"] = nn.ReLU(inplace=True)  # in place, as in torchvision's VGG
            channels = maps
    return nn.Sequential(layers)


# --- VGG ---


def _published(progress):
    """VGG-16 as torchvision publishes it; what is needed of it is kept in home()."""
    kept = home() / "features" / "vgg16.safetensors"
    name, origin = "VGG-16", "trained on ImageNet, as torchvision publishes it"
    if kept.is_file():
        return FeatureNetwork(_filled(_stack(VGG), _weights(kept), kept), name, origin)
    from torchvision.models import VGG16_Weights

    network = _from_source(VGG16_Weights.IMAGENET1K_V1.url, None, progress)
    _keep(kept, network)
    (kept.parent / _name_in(VGG16_Weights.IMAGENET1K_V1.url)).unlink(missing_ok=True)  # 528 MB
    return FeatureNetwork(network, name, origin)


def _from_source(source, sha256, progress):
    """VGG from an address or a file."""
    path = Path(source).expanduser()
    if urlsplit(source).scheme in ("http", "https"):
        path = home() / "features" / _name_in(source)
        download([source], path, sha256=sha256, progress=progress)
    if not path.is_file():
        raise CourseError(f"{source}: no such file; give the weights of VGG-16, or take the source 'small'")
    _check_hash(path, sha256)
    weights = _weights(path)
    convolutions = sum(key.startswith("features.") and key.endswith(".weight") for key in weights)
    name = {13: "VGG-16", 16: "VGG-19"}.get(convolutions, "VGG")
    return FeatureNetwork(_filled(_stack(VGG), weights, path), name, f"weights from {path.name}")


def _name_in(url):
    return Path(urlsplit(url).path).name or "vgg.pth"


def _check_hash(path, sha256):
    """Against what was given, or against the digits in the name, as torch.hub writes them: vgg16-397923af.pth."""
    written = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    wanted = (sha256 or (written[1] if written else "")).lower()
    if not wanted:
        return
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if not actual.startswith(wanted):
        way_out = "it is damaged or another file; delete it and get it again"
        raise CourseError(f"{path}: its SHA-256 is {actual[:12]}..., not {wanted[:12]}...: {way_out}")


def _weights(path):
    """The tensors of a file, {name: tensor}; nothing in it is ever run."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError, _unpickling()) as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise CourseError(f"{path} holds no weights that can be read safely ({reason}); get the file again") from None
    if not isinstance(found, dict):
        raise CourseError(f"{path} holds a {type(found).__name__}, not the weights of a network by name (a state dict)")
    return found


def _unpickling():
    from pickle import UnpicklingError

    return UnpicklingError


def _filled(network, weights, path):
    """The network with the weights of a file: named by torchvision (features.0.weight) or by us (conv1_1.weight)."""
    for i, (name, layer) in enumerate(network.named_children()):
        for kind, mine in layer.named_parameters():
            theirs = weights.get(f"features.{i}.{kind}", weights.get(f"{name}.{kind}"))
            if not torch.is_tensor(theirs) or theirs.shape != mine.shape:
                found = f"is {tuple(theirs.shape)}" if torch.is_tensor(theirs) else "is missing"
                wanted = f"{name}.{kind} (features.{i}.{kind} in torchvision) {found}, not {tuple(mine.shape)}"
                raise CourseError(f"{path} does not hold the weights of VGG: {wanted}; give vgg16-397923af.pth")
            if not theirs.isfinite().all():
                raise CourseError(f"{path}: {name}.{kind} holds NaN or infinity; get the file again")
            mine.data.copy_(theirs)
    return network


def _keep(path, network):
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(tensors))


# --- The small network ---


def _small(progress):
    """The kit's own network: trained where it is not there yet, and kept in home(), one file for each recipe."""
    recipe = RECIPE | {"steps": TRIAL_STEPS if current().name == "test" else RECIPE["steps"]}
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    kept = home() / "features" / f"small-{digest}.safetensors"
    kept.parent.mkdir(parents=True, exist_ok=True)
    network = _stack(SMALL)
    with alone(kept):  # two notebooks at once train it once
        if not kept.is_file():
            _keep(kept, train_small(recipe, progress))
    try:
        _filled(network, _weights(kept), kept)
    except CourseError:  # a file that somebody has damaged
        kept.unlink()
        return _small(progress)
    origin = f"trained by the kit in {recipe['steps']:,} steps to tell which of its photographs a patch comes from"
    return FeatureNetwork(network, "small network", origin)


def train_small(recipe=RECIPE, progress=True):
    """Teach a small network to tell which of the kit's seven training photographs a patch comes from.

    A tiny stand-in for what VGG learned, which of a thousand kinds of thing a photograph shows. The colours of a patch
    are shuffled, or taken away, so that its texture has to tell. On one thread of the CPU, with random numbers of its
    own: the same weights on any number of cores.

    Returns:
        nn.Sequential, its maps scaled so that each has the mean 1 over the photographs.
    """
    from course_utils.data.photos import photographs

    photos = list(photographs("train").values())
    with _one_thread(), torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(recipe["seed"])
        network, head = _stack(recipe["maps"]), nn.Linear(recipe["maps"][-1][-1], len(photos))
        optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=recipe["lr"])
        rng = np.random.default_rng(recipe["seed"])
        for step in _counted(recipe["steps"], progress):
            for group in optimizer.param_groups:
                group["lr"] = recipe["lr"] * _rate((step + 0.5) / recipe["steps"])
            patches, which = _patches(photos, recipe["batch"], recipe["patch"], rng)
            maps = network(imagenet_normalised(patches))
            loss = F.cross_entropy(head(maps.mean(dim=(2, 3))), which)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return _balanced(network)


def _rate(progress):
    """Up over the first tenth, and down half a cosine: the part of the highest learning rate."""
    return min(1, progress / 0.1) * (1 + math.cos(math.pi * progress)) / 2


def _counted(steps, progress):
    from tqdm.auto import tqdm

    return tqdm(range(steps), desc="training the small feature network", unit="step", disable=not progress)


def _patches(photos, count, patch, rng):
    """(patches, float (count, 3, patch, patch); the number of the photograph that each comes from)."""
    which, found = rng.integers(len(photos), size=count), np.empty((count, patch, patch, 3), np.uint8)
    for i, photo in enumerate(which):
        height, width = photos[photo].shape[:2]
        top, left = rng.integers(height - patch + 1), rng.integers(width - patch + 1)
        window = photos[photo][top : top + patch, left : left + patch, rng.permutation(3)]
        if rng.integers(2):  # else their colour alone would tell most of the photographs apart
            window = window.mean(axis=2, keepdims=True).round()
        found[i] = window[:, ::-1] if rng.integers(2) else window
    return as_floats(torch.from_numpy(found)).contiguous(), torch.from_numpy(which)


@torch.no_grad()
def _balanced(network):
    """Scale every map to a mean of 1 over patches of the photographs, so that no layer counts for more than another.

    Gatys, Ecker, Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, did so with VGG. What
    the network tells apart stays the same: ReLU lets a factor through, and the next layer takes it out again.
    """
    from course_utils.data.photos import photographs

    maps = imagenet_normalised(_patches(list(photographs("train").values()), 128, 64, np.random.default_rng(1))[0])
    before = None  # what the maps of the layer before were divided by
    for _, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            if before is not None:
                layer.weight.mul_(before[:, None, None])
            means = F.relu(layer(maps)).mean(dim=(0, 2, 3))
            before = means.clamp(min=0.01 * means.max().item())  # a map that is all but dead is not blown up
            layer.weight.div_(before[:, None, None, None])
            layer.bias.div_(before)
        maps = layer(maps)
    return network


@contextlib.contextmanager
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

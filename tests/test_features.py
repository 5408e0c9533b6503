"""Feature networks: the exercises' references, where the weights come from, and what is refused. Nothing downloads."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from course_utils import features
from course_utils.features import LAYERS, features_at, imagenet_normalised
from course_utils.files import CourseError


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """The profile `test`, a home of its own, and no way to the network."""
    monkeypatch.setenv("COURSE_PROFILE", "test")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSE_VGG", raising=False)

    def refuse(sources, *arguments, **options):
        raise CourseError(f"{sources[0]}: no connection")

    monkeypatch.setattr(features, "download", refuse)


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def vgg_weights(convolutions=13):
    """A state dict as torchvision names it; of the first five convolutions the true shapes, of the rest nothing."""
    weights = {}
    for i, layer in enumerate(features._stack(features.VGG)):
        weights |= {f"features.{i}.{kind}": tensor.clone() for kind, tensor in layer.state_dict().items()}
    for i in range(convolutions - 5):
        weights[f"features.{100 + i}.weight"] = torch.zeros(1)
    return weights


# --- imagenet_normalised ---


def test_normalised_images_agree_with_torchvision():
    from torchvision.transforms.functional import normalize

    x = images(2, 3, 5, 3)
    expected = normalize(x, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    torch.testing.assert_close(imagenet_normalised(x), expected)


def test_the_mean_colour_becomes_zero_and_the_images_stay():
    x = torch.tensor(features.MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 6).clone()
    before = x.clone()
    assert imagenet_normalised(x).abs().max() < 1e-6
    assert torch.equal(x, before)


def test_gradients_pass_with_one_over_std():
    x = images(1, 3, 4, 4).requires_grad_()
    imagenet_normalised(x).sum().backward()
    torch.testing.assert_close(x.grad[0, :, 0, 0], 1 / torch.tensor(features.STD))


# --- features_at ---


def test_features_are_those_of_the_network_cut_there():
    network, x = features._stack(features.SMALL).eval(), images(2, 3, 16, 12)
    names = [name for name, _ in network.named_children()]
    found = features_at(network, x, names)
    for i, name in enumerate(names):
        out_of_place = [nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in network[: i + 1]]
        torch.testing.assert_close(found[name], nn.Sequential(*out_of_place)(x))


def test_a_convolution_keeps_what_is_below_zero():
    found = features_at(features._stack(features.SMALL), images(1, 3, 8, 8), ["conv1_2", "relu1_2"])
    assert (found["conv1_2"] < 0).any()
    assert torch.equal(found["conv1_2"].clamp(min=0), found["relu1_2"])


def test_names_come_in_the_order_asked_for_and_nothing_runs_beyond_them():
    class Breaks(nn.Module):
        def forward(self, x):
            raise AssertionError("ran too far")

    network = nn.Sequential()
    network.add_module("a", nn.Conv2d(3, 2, 1))
    network.add_module("b", nn.ReLU(inplace=True))
    network.add_module("c", Breaks())
    assert list(features_at(network, images(1, 3, 4, 4), ["b", "a"])) == ["b", "a"]


def test_an_unknown_layer_is_an_error_that_lists_the_known_ones():
    with pytest.raises(CourseError, match="no layer 'relu9_9' in the network; it has conv1_1, relu1_1"):
        features_at(features._stack(features.SMALL), images(1, 3, 8, 8), ["relu9_9"])


# --- The small network ---


def test_the_small_network_is_frozen_trained_once_and_found_again(tmp_path, monkeypatch):
    first = features.load("small", progress=False)
    assert not any(parameter.requires_grad for parameter in first.parameters())
    assert not first.train().training
    (kept,) = (tmp_path / "home" / "features").glob("small-*.safetensors")
    monkeypatch.setattr(features, "train_small", None)  # a second training would fail
    again = features.load("auto", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), again.parameters(), strict=True))
    assert "photographs" in again.origin
    assert kept.stat().st_size < 500_000


def test_another_recipe_is_trained_anew_and_a_damaged_file_too(tmp_path, monkeypatch):
    features.load("small", progress=False)
    monkeypatch.setattr(features, "TRIAL_STEPS", 2)
    features.load("small", progress=False)
    kept = sorted((tmp_path / "home" / "features").glob("small-*.safetensors"))
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(b"damaged")
    assert features.load("small", progress=False)(images(1, 3, 8, 8)).shape == (1, 64, 2, 2)


def test_training_is_the_same_on_any_number_of_threads_and_leaves_no_trace():
    recipe = features.RECIPE | {"steps": 3}
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    networks = []
    for count in (1, 2):
        torch.set_num_threads(count)
        networks.append(features.train_small(recipe, progress=False))
        assert torch.get_num_threads() == count
    torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before)
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_balanced_maps_have_the_mean_one_and_the_same_zeros():
    torch.manual_seed(0)
    network = features._stack(features.SMALL)
    x = images(2, 3, 32, 32)
    before = features_at(network, x, LAYERS)
    after = features_at(features._balanced(network), x, LAYERS)
    for name in LAYERS:
        ratio = after[name].sum((0, 2, 3)) / before[name].sum((0, 2, 3)).clamp(min=1e-9)
        torch.testing.assert_close(after[name], before[name] * ratio[:, None, None], rtol=1e-3, atol=1e-3)
    from course_utils.data.photos import photographs

    patches = features._patches(list(photographs("train").values()), 128, 64, np.random.default_rng(1))[0]
    means = features_at(network, imagenet_normalised(patches), ["relu1_2"])["relu1_2"].mean(dim=(0, 2, 3))
    assert (means < 1.01).all() and (means > 0.99).sum() >= 8  # all but what was all but dead


def test_random_features_are_the_same_each_time():
    one, other = features.load("random"), features.load("random")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- VGG ---


@pytest.mark.parametrize(("convolutions", "name"), [(13, "VGG-16"), (16, "VGG-19")])
def test_weights_of_vgg_from_a_file(tmp_path, convolutions, name):
    weights = vgg_weights(convolutions)
    torch.save(weights, tmp_path / "mine.pth")
    network = features.load(tmp_path / "mine.pth")
    assert network.name == name and "mine.pth" in network.origin
    assert torch.equal(network.conv2_2.weight, weights["features.7.weight"])
    assert network.relu3_1.inplace


def test_the_layers_are_those_of_torchvision():
    from torchvision.models import vgg16

    with torch.device("meta"):
        theirs = vgg16().features
    for ours, layer in zip(features._stack(features.VGG), theirs, strict=False):
        assert type(ours) is type(layer)
        assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in layer.parameters()]


def test_what_is_no_vgg_is_an_error_that_names_the_file(tmp_path):
    wrong = {
        "text.pth": b"not a file of weights",
        "empty.pth": b"",
        "other.safetensors": b"\0" * 20,
    }
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CourseError, match=name):
            features.load(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CourseError, match="holds a list"):
        features.load(tmp_path / "list.pth")
    save_file({"conv1_1.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "small.safetensors")
    with pytest.raises(CourseError, match=r"conv1_1.weight .* is \(16, 3, 3, 3\), not \(64, 3, 3, 3\)"):
        features.load(tmp_path / "small.safetensors")
    with pytest.raises(CourseError, match="no such file"):
        features.load(tmp_path / "nowhere.pth")
    torch.save(vgg_weights() | {"features.0.bias": torch.full((64,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(CourseError, match="NaN"):
        features.load(tmp_path / "nan.pth")


class Program:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_is_a_program_is_not_run(tmp_path, capsys):
    torch.save({"features.0.weight": Program()}, tmp_path / "program.pth")
    with pytest.raises(CourseError, match=r"program\.pth holds no weights that can be read safely"):
        features.load(tmp_path / "program.pth")
    assert "run" not in capsys.readouterr().out


def test_a_wrong_hash_is_an_error(tmp_path):
    torch.save(vgg_weights(), tmp_path / "mine.pth")
    right = hashlib.sha256((tmp_path / "mine.pth").read_bytes()).hexdigest()
    features.load(tmp_path / "mine.pth", sha256=right)
    with pytest.raises(CourseError, match="SHA-256"):
        features.load(tmp_path / "mine.pth", sha256="0" * 64)
    named = tmp_path / "vgg16-00000000.pth"  # as torch.hub names its files
    named.write_bytes((tmp_path / "mine.pth").read_bytes())
    with pytest.raises(CourseError, match="SHA-256"):
        features.load(named)
    named.rename(tmp_path / f"vgg16-{right[:8]}.pth")
    features.load(tmp_path / f"vgg16-{right[:8]}.pth")


# --- Which one ---


def test_auto_takes_what_the_profile_says(monkeypatch):
    assert features._candidates("cpu") == ["small"]
    assert features._candidates("gpu") == ["vgg16", "small"]
    monkeypatch.setenv("COURSE_VGG", "weights.pth")
    assert features._candidates("cpu") == ["weights.pth", "small"]
    assert features._candidates("test") == ["small"]


def test_auto_falls_through_with_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(features, "_candidates", lambda profile: ["vgg16", "small"])
    assert features.load("auto", progress=False).name == "small network"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("features of the small network instead of vgg16: ") and "no connection" in line
    with pytest.raises(CourseError, match="no connection"):
        features.load("vgg16", progress=False)
    with pytest.raises(CourseError, match="no connection"):
        features.load("https://example.org/vgg16.pth", progress=False)


def test_of_what_torchvision_publishes_the_part_that_is_needed_is_kept(monkeypatch, tmp_path):
    def bring(sources, target, **options):
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save(vgg_weights(), target)

    monkeypatch.setattr(features, "download", bring)
    monkeypatch.setattr(features, "_check_hash", lambda path, sha256: None)
    first = features.load("vgg16", progress=False)
    assert [path.name for path in (tmp_path / "home" / "features").iterdir()] == ["vgg16.safetensors"]
    monkeypatch.setattr(features, "download", None)  # not asked again
    again = features.load("vgg16", progress=False)
    assert again.name == "VGG-16" and torch.equal(first.conv3_1.weight, again.conv3_1.weight)

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import inference
from course_utils.files import CourseError
from course_utils.inference import folded, inside, restore, tiles
from course_utils.models import DnCNN


@pytest.fixture
def model():
    """Untrained, but its weights have one sign: the ReLUs let all through, and the whole receptive field counts."""
    torch.manual_seed(1)
    net = DnCNN(depth=5, width=4).eval()
    torch.nn.init.normal_(net.layers[-1].weight)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
        net.layers[-1].weight.mul_(0.1 / net(torch.ones(1, 3, 16, 16)).max())
    return net


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 12))
def test_tiles_cover_every_pixel_once_and_see_the_halo(height, width, tile, halo):
    times = np.zeros((height, width), int)
    for outer, inner in tiles(height, width, tile, halo):
        times[inner] += 1
        for o, i, side in zip(outer, inner, (height, width), strict=True):
            assert (o.start, o.stop) == (max(i.start - halo, 0), min(i.stop + halo, side))
            assert 0 < i.stop - i.start <= tile
    assert (times == 1).all()


def test_inside_cuts_the_halo_off():
    image = torch.arange(3 * 20 * 30).view(3, 20, 30)
    for outer, inner in tiles(20, 30, 8, 3):
        assert torch.equal(inside(image[:, *outer], outer, inner), image[:, *inner])


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 50)])
@pytest.mark.parametrize("tile", [3, 7, 16, 64])
def test_in_tiles_as_whole(model, size, tile):
    image = torch.rand(3, *size)
    torch.testing.assert_close(restore(model, image, tile=tile), restore(model, image), atol=1e-5, rtol=0)


def test_the_halo_must_be_the_receptive_radius(model):
    image = torch.rand(3, 40, 56)
    whole = restore(model, image)

    def seam(halo):
        return (restore(model, image, tile=16, halo=halo) - whole).abs().max().item()

    radius = model.receptive_radius
    assert seam(0) > 10 / 255
    assert seam(radius - 1) > 1e-4
    assert seam(radius) < 1e-6
    assert restore(model, image, tile=16).equal(restore(model, image, tile=16, halo=radius))


def test_seventeen_layers_need_seventeen_pixels():
    torch.manual_seed(0)
    model = DnCNN(width=8).eval()
    torch.nn.init.normal_(model.layers[-1].weight)
    image = torch.rand(3, 48, 70)
    assert (restore(model, image, tile=24, halo=0) - restore(model, image)).abs().max() > 1e-3
    torch.testing.assert_close(restore(model, image, tile=24), restore(model, image), atol=1e-5, rtol=0)


def test_a_batch_is_its_images(model):
    batch = torch.rand(3, 3, 20, 14)
    result = restore(model, batch)
    assert result.shape == batch.shape
    for image, restored in zip(batch, result, strict=True):
        torch.testing.assert_close(restore(model, image), restored)


def test_the_result_is_clipped_and_the_input_untouched(model):
    with torch.no_grad():
        model.layers[-1].bias.fill_(0.5)
    image = torch.rand(3, 9, 9)
    before = image.clone()
    result = restore(model, image)
    assert result.min() == 0 and result.max() <= 1
    assert result.dtype == torch.float32 and result.device.type == "cpu"
    assert torch.equal(image, before)
    torch.testing.assert_close(result, (image - model(image[None])[0].detach()).clamp(0, 1))


def test_the_result_can_be_trained_on(model):
    result = restore(model, torch.rand(3, 9, 9))
    assert not result.requires_grad and not result.is_inference()
    (result[None] * torch.ones(1, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_mode_for_the_duration(training):
    model = DnCNN(depth=4, width=8).train(training)
    torch.nn.init.normal_(model.layers[-1].weight)
    image = torch.rand(3, 16, 16)
    statistics = model.layers[3].running_mean.clone()
    result = restore(model, image)
    assert model.training is training and model.layers[3].training is training
    assert torch.equal(statistics, model.layers[3].running_mean)
    torch.testing.assert_close(result, model.eval().restore(image[None])[0].detach().clamp(0, 1))


def test_the_mode_comes_back_after_an_error(model):
    model.train()
    with pytest.raises(CourseError, match="channels=3"):
        restore(model, torch.rand(1, 16, 16))
    assert model.training


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), {}, "is torch.uint8, not float; images.to_tensor"),
        (np.zeros((3, 8, 8)), {}, "not a tensor"),
        (torch.full((3, 8, 8), float("nan")), {}, "holds NaN"),
        (torch.full((3, 8, 8), -1.0), {}, r"outside \[0, 1\]"),
        (torch.rand(8, 8), {}, "shape"),
        (torch.rand(3, 8, 8), {"tile": 0}, "tile=0"),
        (torch.rand(3, 8, 8), {"tile": 4, "halo": -1}, "halo=-1"),
    ],
)
def test_what_cannot_be_restored_is_refused(model, image, options, message):
    with pytest.raises(CourseError, match=message):
        restore(model, image, **options)


def test_networks_that_cannot_restore():
    class Net(torch.nn.Module):
        answer = staticmethod(lambda y: y)

        def restore(self, y):
            return self.answer(y)

    net, image = Net(), torch.rand(3, 8, 8)
    assert torch.equal(restore(net, image), image)
    with pytest.raises(CourseError, match=r"Net has no receptive_radius .* give halo="):
        restore(net, image, tile=4)
    net.answer = lambda y: y[:, :1]
    with pytest.raises(CourseError, match=r"turned \(1, 3, 8, 8\) into \(1, 1, 8, 8\)"):
        restore(net, image)
    net.answer = lambda y: y / 0 * 0
    with pytest.raises(CourseError, match="answered NaN"):
        restore(net, image)
    with pytest.raises(CourseError, match="has no method restore"):
        restore(torch.nn.Conv2d(3, 3, 1), image)


def with_statistics(network):
    """As after a training: batch norms that shift and scale."""
    torch.manual_seed(2)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3)
    return network.eval()


class Other(torch.nn.Module):
    """Batch norms where they cannot be folded: first of all, after a ReLU, without statistics, outside a Sequential."""

    def __init__(self):
        super().__init__()
        norm, conv = torch.nn.BatchNorm2d, lambda: torch.nn.Conv2d(3, 3, 3, padding=1)
        self.first = torch.nn.Sequential(norm(3), conv(), torch.nn.ReLU(), norm(3), conv(), norm(3))
        self.conv, self.norm = conv(), norm(3)
        self.last = torch.nn.Sequential(conv(), norm(3, track_running_stats=False))

    def restore(self, y):
        return self.last(self.norm(self.conv(self.first(y))))


@pytest.mark.parametrize("make", [lambda: DnCNN(depth=6, width=8), Other])
def test_folded_is_the_same_network(make):
    network = with_statistics(make())
    if hasattr(network, "layers"):
        torch.nn.init.normal_(network.layers[-1].weight, std=0.05)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    image, norms = torch.rand(2, 3, 20, 17), lambda net: sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    with torch.inference_mode():
        result = folded(network)
        torch.testing.assert_close(result.restore(image), network.restore(image), atol=1e-4, rtol=1e-4)
    assert norms(result) == (0 if isinstance(network, DnCNN) else norms(network) - 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert type(result) is type(network)


class Counting(torch.nn.Module):
    receptive_radius = 2

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __deepcopy__(self, memo):
        return self  # so that what the copy notes is seen here

    def restore(self, y):
        self.shapes.append(tuple(y.shape))
        return y


def test_tiles_of_one_size_go_together(monkeypatch):
    monkeypatch.setattr(inference, "PIXELS", {"cpu": 5 * 12 * 12})
    model, batch = Counting(), torch.rand(2, 3, 40, 33)
    assert torch.equal(restore(model, batch, tile=8), batch)
    assert sum(n for n, *_ in model.shapes) == 2 * 5 * 5  # tiles, in few calls
    assert len(model.shapes) < 15
    assert all(n * h * w <= 5 * 12 * 12 for n, _, h, w in model.shapes)


def test_a_large_image_is_cut_into_tiles_unasked():
    model = Counting()
    restore(model, torch.rand(3, 40, 1200))
    assert max(width for *_, width in model.shapes) == inference.TILE + 4
    model.receptive_radius = None  # no halo to go by
    restore(model, torch.rand(3, 40, 1200))
    assert model.shapes[-1] == (1, 3, 40, 1200)


MEMORY = """
import torch
from course_utils.inference import restore
from course_utils.models import DnCNN
def peak():  # in MiB; ru_maxrss would begin with the peak of the parent process
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 2**10
torch.set_num_threads(1)
model, image = DnCNN(depth=3, width=64), torch.rand(3, 128, 16384)
restore(model, image[:, :, :4096].contiguous(), tile=64)
small = peak(); restore(model, image, tile=64)
large = peak(); restore(model, image, tile=None)
print(large - small, peak() - large)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_image():
    answer = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    tiled, whole = map(int, answer.stdout.split())  # MiB; the image is 24, one layer of it whole 512
    assert tiled < 60
    assert whole > 400


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_the_models_device(model):
    image = torch.rand(3, 40, 56)
    expected = restore(model, image)
    result = restore(model.cuda(), image, tile=16)
    assert result.device.type == "cpu"
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


class Enlarging(torch.nn.Module):
    """Repeats each pixel and smooths what comes: a network that is `scale` times higher and wider."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.receptive_radius = scale, 2
        self.smooth = torch.nn.Conv2d(3, 3, 5, padding=2)
        torch.nn.init.uniform_(self.smooth.weight, 0, 1 / 75)

    def restore(self, y):
        return torch.nn.functional.interpolate(self.smooth(y), scale_factor=self.scale)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("tile", [4, 9, 64])
def test_a_network_may_enlarge(scale, tile):
    torch.manual_seed(0)
    network, batch = Enlarging(scale), torch.rand(2, 3, 13, 20)
    whole = network.restore(batch).detach().clamp(0, 1)
    found = restore(network, batch, tile=tile)
    assert found.shape == (2, 3, scale * 13, scale * 20)
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)
    assert restore(network, batch[0], tile=tile).shape == found.shape[1:]


def test_the_scale_must_be_what_the_network_does():
    network, image = Enlarging(2), torch.rand(3, 8, 8)
    network.restore = lambda y: y
    with pytest.raises(CourseError, match=r"\(1, 3, 8, 8\); with scale=2 it is \(1, 3, 16, 16\)"):
        restore(network, image)
    for scale in (0, 1.5, "2"):
        network.scale = scale
        with pytest.raises(CourseError, match=f"Enlarging.scale is {scale!r}; a network that enlarges"):
            restore(network, image)


def test_inside_cuts_the_halo_off_an_enlarged_answer():
    image = torch.arange(3 * 20 * 30).view(3, 20, 30)
    large = image.repeat_interleave(2, 1).repeat_interleave(2, 2)
    for outer, inner in tiles(10, 15, 4, 3):
        answer = large[:, *(slice(4 * side.start, 4 * side.stop) for side in outer)]
        wanted = large[:, *(slice(4 * side.start, 4 * side.stop) for side in inner)]
        assert torch.equal(inside(answer, outer, inner, 4), wanted)

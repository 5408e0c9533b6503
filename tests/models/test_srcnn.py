import json

import pytest
import torch
from torch.nn import functional as F

from course_utils.checkpoints import load_model, save_model
from course_utils.degrade import LowResolution
from course_utils.files import CourseError
from course_utils.models import SRCNN

LAYOUTS = [(1, (9, 1, 5)), (1, (9, 5, 5)), (3, (9, 3, 5)), (2, (5, 1, 1))]


def filled(*layout, **options):
    """A network whose weights are all random: the start hands the image on and would hide much."""
    torch.manual_seed(0)
    model = SRCNN(*layout, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_parameters_of_the_published_networks():
    assert parameters(SRCNN()) == 8_129
    assert parameters(SRCNN(kernels=(9, 5, 5))) == 57_281


def test_weights_and_biases_come_in_the_order_of_the_layers_and_nothing_else_does():
    shapes = [tuple(p.shape) for p in SRCNN(channels=3, kernels=(9, 5, 3)).parameters()]
    assert shapes == [(64, 3, 9, 9), (64,), (32, 64, 5, 5), (32,), (3, 32, 3, 3), (3,)]
    assert [tuple(p.shape) for p in SRCNN().state_dict().values()] == [tuple(p.shape) for p in SRCNN().parameters()]


@pytest.mark.parametrize(("channels", "kernels"), LAYOUTS)
def test_is_three_convolutions_with_relu_between(channels, kernels):
    model, y = filled(channels, kernels), torch.rand(2, channels, 17, 14)
    w1, b1, w2, b2, w3, b3 = model.parameters()
    features = F.relu(F.conv2d(y, w1, b1, padding=kernels[0] // 2))
    features = F.relu(F.conv2d(features, w2, b2, padding=kernels[1] // 2))
    expected = F.conv2d(features, w3, b3, padding=kernels[2] // 2)
    assert model(y).shape == y.shape and model(y).min() < 0  # no ReLU at the end
    assert torch.allclose(model(y), expected, atol=1e-5)
    assert torch.equal(model.restore(y), model(y))


@pytest.mark.parametrize(("channels", "kernels"), LAYOUTS)
def test_a_pixel_depends_on_the_receptive_radius_and_on_no_more(channels, kernels):
    model, radius = filled(channels, kernels).double(), sum((k - 1) // 2 for k in kernels)
    assert model.receptive_radius == radius
    y, centre = torch.rand(1, channels, 31, 31).double(), 15
    before = model(y)[..., centre, centre]
    for row, column, reached in ((radius, -radius, True), (0, radius + 1, False), (-radius - 1, 0, False)):
        changed = y.clone()
        changed[..., centre + row, centre + column] += 1
        difference = (model(changed)[..., centre, centre] - before).abs().max()
        assert (difference > 1e-9) == reached


def test_receptive_radius_of_the_published_network():
    assert SRCNN().receptive_radius == 6


@pytest.mark.parametrize(("channels", "kernels"), LAYOUTS)
def test_untrained_it_gives_the_image_back(channels, kernels):
    y = torch.rand(2, channels, 20, 11)
    assert torch.equal(SRCNN(channels, kernels).restore(y), y)


def test_from_its_start_all_of_it_learns():
    torch.manual_seed(0)
    clean = F.interpolate(torch.rand(4, 1, 8, 8), scale_factor=3).clamp(0, 1)  # edges, which bicubic blurs
    degraded, model = LowResolution(3)(clean), SRCNN()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.mse_loss(model(degraded), clean)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all((now != before).float().mean() > 0.9 for now, before in zip(model.parameters(), start, strict=True))


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
def test_a_saved_network_loads_as_it_was(tmp_path, padding_mode):
    model = filled(3, (7, 1, 3), padding_mode).eval()
    assert json.loads(json.dumps(model.config)) == model.config
    save_model(tmp_path / "model.safetensors", model)
    twin, y = load_model(tmp_path / "model.safetensors"), torch.rand(1, 3, 13, 12)
    assert isinstance(twin, SRCNN) and twin.config == model.config
    assert torch.equal(twin(y), model(y))


def test_padding_modes_differ_at_the_border_only():
    zeros, replicate = filled(), filled(padding_mode="replicate")
    y, radius = torch.rand(1, 1, 30, 30), zeros.receptive_radius
    inner = (..., slice(radius, -radius), slice(radius, -radius))
    assert torch.allclose(zeros(y)[inner], replicate(y)[inner], atol=1e-5)
    assert (zeros(y) - replicate(y))[..., 0, :].abs().min() > 1e-4


def test_replicate_sees_no_border_in_a_flat_image():
    flat = torch.full((1, 1, 9, 9), 0.4)
    assert filled(padding_mode="replicate")(flat).std() < 1e-5 < filled()(flat).std()


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 8, 8), (8, 8)])
def test_wrong_input_is_named(shape):
    with pytest.raises(CourseError, match=r"SRCNN\(channels=1\) takes \(N, 1, H, W\), not \(" + str(shape[0])):
        SRCNN()(torch.rand(shape))


@pytest.mark.parametrize("kernels", [(9, 5), (9, 2, 5), (9, 0, 5), (9, -1, 5), (9, 1, 5, 5)])
def test_wrong_kernels_are_named(kernels):
    with pytest.raises(CourseError, match=r"three odd.*kernels=\(9, "):
        SRCNN(kernels=kernels)


@pytest.mark.parametrize("padding_mode", ["reflect", "same", 0])
def test_unknown_padding_is_named(padding_mode):
    with pytest.raises(CourseError, match=f"{padding_mode!r} is unknown to SRCNN.*'replicate'"):
        SRCNN(padding_mode=padding_mode)

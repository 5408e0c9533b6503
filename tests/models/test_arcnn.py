import json

import pytest
import torch
from torch.nn import functional as F

from course_utils.checkpoints import load_model, save_model
from course_utils.degrade import Jpeg
from course_utils.files import CourseError
from course_utils.models import ARCNN


def filled(*layout, **options):
    """A network whose weights are all random: the start hands the image on and would hide much."""
    torch.manual_seed(0)
    model = ARCNN(*layout, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_parameters_of_the_published_network():
    slopes = 64 + 32 + 16
    assert sum(p.numel() for p in ARCNN(channels=1).parameters()) == 106_561 + slopes
    assert sum(p.numel() for p in ARCNN().parameters()) == 117_843


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_biases_and_slopes_come_in_the_order_of_the_layers(channels):
    shapes = [tuple(p.shape) for p in ARCNN(channels).parameters()]
    first, second, third = [(64, channels, 9, 9), (64,), (64,)], [(32, 64, 7, 7), (32,), (32,)], [(16, 32, 1, 1)]
    assert shapes == [*first, *second, *third, (16,), (16,), (channels, 16, 5, 5), (channels,)]
    assert [tuple(p.shape) for p in ARCNN(channels).state_dict().values()] == shapes


@pytest.mark.parametrize("channels", [1, 3])
def test_is_four_convolutions_with_prelu_between(channels):
    model, y = filled(channels), torch.rand(2, channels, 17, 14)
    w1, b1, s1, w2, b2, s2, w3, b3, s3, w4, b4 = model.parameters()
    features = F.prelu(F.conv2d(y, w1, b1, padding=4), s1)
    features = F.prelu(F.conv2d(features, w2, b2, padding=3), s2)
    features = F.prelu(F.conv2d(features, w3, b3), s3)
    assert model(y).shape == y.shape and model(y).min() < 0  # nothing is cut at the end
    assert torch.allclose(model(y), F.conv2d(features, w4, b4, padding=2), atol=1e-5)
    assert torch.equal(model.restore(y), model(y))


def test_a_pixel_depends_on_the_receptive_radius_and_on_no_more():
    model = filled(1).double()
    assert model.receptive_radius == 9
    y, centre = torch.rand(1, 1, 31, 31).double(), 15
    before = model(y)[..., centre, centre]
    for row, column, reached in ((9, -9, True), (0, 10, False), (-10, 0, False)):
        changed = y.clone()
        changed[..., centre + row, centre + column] += 1
        difference = (model(changed)[..., centre, centre] - before).abs().max()
        assert (difference > 1e-9) == reached


@pytest.mark.parametrize("channels", [1, 3])
def test_untrained_it_gives_the_image_back(channels):
    y = torch.rand(2, channels, 20, 11)
    assert torch.equal(ARCNN(channels).restore(y), y)


def test_from_its_start_all_of_it_learns():
    torch.manual_seed(0)
    clean = F.interpolate(torch.rand(1, 1, 6, 6), size=(24, 24), mode="bicubic").clamp(0, 1)
    degraded, model = Jpeg(10)(clean), ARCNN(1)
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)  # small: no warm-up here
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.mse_loss(model(degraded), clean)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]
    assert all((now != before).float().mean() > 0.9 for now, before in zip(model.parameters(), start, strict=True))


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
def test_a_saved_network_loads_as_it_was(tmp_path, padding_mode):
    model = filled(1, padding_mode).eval()
    assert json.loads(json.dumps(model.config)) == model.config
    save_model(tmp_path / "model.safetensors", model)
    twin, y = load_model(tmp_path / "model.safetensors"), torch.rand(1, 1, 13, 12)
    assert isinstance(twin, ARCNN) and twin.config == model.config
    assert torch.equal(twin(y), model(y))


def test_padding_modes_differ_at_the_border_only():
    zeros, replicate = filled(1), filled(1, padding_mode="replicate")
    y, radius = torch.rand(1, 1, 30, 30), zeros.receptive_radius
    inner = (..., slice(radius, -radius), slice(radius, -radius))
    assert torch.allclose(zeros(y)[inner], replicate(y)[inner], atol=1e-5)
    assert (zeros(y) - replicate(y))[..., 0, :].abs().min() > 1e-4


def test_replicate_sees_no_border_in_a_flat_image():
    flat = torch.full((1, 1, 9, 9), 0.4)
    assert filled(1, padding_mode="replicate")(flat).std() < 1e-5 < filled(1)(flat).std()


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (8, 8)])
def test_wrong_input_is_named(shape):
    with pytest.raises(CourseError, match=r"ARCNN\(channels=3\) takes \(N, 3, H, W\), not \(" + str(shape[0])):
        ARCNN()(torch.rand(shape))


@pytest.mark.parametrize("padding_mode", ["reflect", "same", 0])
def test_unknown_padding_is_named(padding_mode):
    with pytest.raises(CourseError, match=f"{padding_mode!r} is unknown to ARCNN.*'replicate'"):
        ARCNN(padding_mode=padding_mode)

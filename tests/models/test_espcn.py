import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_utils.checkpoints import load_model, save_model
from course_utils.data import Patches
from course_utils.degrade import pyramid_reduce
from course_utils.files import CourseError
from course_utils.inference import restore
from course_utils.losses import mse_loss
from course_utils.models import ESPCN
from course_utils.models.espcn import nearest_start, pixel_shuffle
from course_utils.training import fit

LAYOUTS = [(4, 3), (3, 1), (2, 3), (1, 3), (1, 12)]  # scale, channels


def filled(*layout):
    """A network whose weights are all random: the start repeats pixels and would hide much."""
    torch.manual_seed(0)
    model = ESPCN(*layout)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


# --- pixel_shuffle ---


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_shuffle_is_pytorchs_and_pixel_by_pixel_what_it_says(scale, channels):
    features = torch.rand(2, channels * scale**2, 3, 5)
    large = pixel_shuffle(features, scale)
    assert torch.equal(large, F.pixel_shuffle(features, scale))
    assert torch.equal(F.pixel_unshuffle(large, scale), features)
    for c, row, column in np.ndindex(*large.shape[1:]):
        channel = c * scale**2 + row % scale * scale + column % scale
        assert torch.equal(large[:, c, row, column], features[:, channel, row // scale, column // scale])


@pytest.mark.parametrize("shape", [(48, 5, 5), (1, 47, 5, 5), (1, 1, 48, 5, 5)])
def test_what_cannot_be_shuffled(shape):
    with pytest.raises(CourseError, match=r"pixel_shuffle by 4 takes \(N, C \* 16, H, W\), not \(" + str(shape[0])):
        pixel_shuffle(torch.rand(shape), 4)


# --- the network ---


def test_parameters_of_the_portrait_project():
    assert sum(p.numel() for p in ESPCN().parameters()) == 71_840


def test_weights_and_biases_come_in_the_order_of_the_layers_and_nothing_else_does():
    shapes = [tuple(p.shape) for p in ESPCN().parameters()]
    weights = [(64, 3, 5, 5), (64, 64, 3, 3), (32, 64, 3, 3), (16, 32, 3, 3), (48, 16, 3, 3)]
    assert shapes == [shape for weight in weights for shape in (weight, weight[:1])]
    assert [tuple(p.shape) for p in ESPCN().state_dict().values()] == shapes


@pytest.mark.parametrize(("scale", "channels"), LAYOUTS)
def test_is_five_convolutions_with_relu_between_and_a_shuffle(scale, channels):
    model, y = filled(scale, channels), torch.rand(2, channels, 11, 9)
    features, parameters = y, list(model.parameters())
    for i in range(5):
        weight, bias = parameters[2 * i : 2 * i + 2]
        features = F.conv2d(features if i == 0 else F.relu(features), weight, bias, padding=weight.shape[-1] // 2)
    large = model(y)
    assert large.shape == (2, channels, scale * 11, scale * 9) and large.min() < 0  # no ReLU at the end
    assert torch.allclose(large, F.pixel_shuffle(features, scale), atol=1e-5)
    assert torch.equal(model.restore(y), large)


@pytest.mark.parametrize(("scale", "channels"), LAYOUTS)
def test_untrained_it_repeats_each_pixel(scale, channels):
    y = torch.rand(2, channels, 10, 7)
    assert torch.equal(ESPCN(scale, channels).restore(y), F.interpolate(y, scale_factor=scale))


def test_the_start_leaves_the_other_maps_alone():
    torch.manual_seed(0)
    convolutions = [torch.nn.Conv2d(2, 6, 3), torch.nn.Conv2d(6, 8, 3)]
    before = [convolution.weight.detach().clone() for convolution in convolutions]
    nearest_start(convolutions, channels=2)
    assert torch.equal(convolutions[0].weight[2:], before[0][2:])
    assert (convolutions[1].weight != 0).sum() == 8  # one for each of 4 sub-pixels of 2 colours


def test_from_its_start_all_of_it_learns():
    torch.manual_seed(0)
    clean = F.interpolate(torch.rand(4, 3, 8, 8), scale_factor=8)  # edges, which the blur blurs
    degraded, model = pyramid_reduce(clean), ESPCN(scale=2)
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


@pytest.mark.parametrize("scale", [2, 4])
def test_a_pixel_depends_on_the_receptive_radius_and_on_no_more(scale):
    model = filled(scale, 1).double()
    assert model.receptive_radius == 6
    y, centre = torch.rand(1, 1, 15, 15).double(), slice(7 * scale, 8 * scale)
    before = model(y)[..., centre, centre]
    for row, column, reached in ((6, -6, True), (0, 7, False), (-7, 0, False)):
        changed = y.clone()
        changed[..., 7 + row, 7 + column] += 1
        assert ((model(changed)[..., centre, centre] - before).abs().max() > 1e-9) == reached


@pytest.mark.parametrize("tile", [5, 16, 64])
def test_restored_in_tiles_as_whole(tile):
    model, image = filled(3, 3), torch.rand(3, 21, 34)
    whole = model(image[None])[0].detach().clamp(0, 1)
    torch.testing.assert_close(restore(model, image, tile=tile), whole, atol=1e-5, rtol=0)


def test_it_can_be_fitted():
    torch.manual_seed(0)
    images = [np.random.default_rng(i).integers(0, 256, (24, 24, 3), np.uint8) for i in range(2)]
    train = Patches(images, degradation=lambda x, rng: pyramid_reduce(x), patch=16)
    model, valid = ESPCN(scale=2), [train.whole(0), (torch.rand(3, 7, 9), torch.rand(3, 14, 18))]
    settings = {"steps": 30, "batch_size": 4, "loss": mse_loss, "progress": False, "precision": "no"}
    history = fit(model, train, valid, **settings)
    assert history.losses[-1] < history.losses[0]


def test_a_saved_network_loads_as_it_was(tmp_path):
    model = filled(3, 1).eval()
    assert json.loads(json.dumps(model.config)) == model.config == {"scale": 3, "channels": 1}
    save_model(tmp_path / "model.safetensors", model)
    twin, y = load_model(tmp_path / "model.safetensors"), torch.rand(1, 1, 13, 12)
    assert isinstance(twin, ESPCN) and twin.config == model.config and twin.scale == 3
    assert torch.equal(twin(y), model(y))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (8, 8)])
def test_wrong_input_is_named(shape):
    with pytest.raises(CourseError, match=r"ESPCN\(channels=3\) takes \(N, 3, H, W\), not \(" + str(shape[0])):
        ESPCN()(torch.rand(shape))


@pytest.mark.parametrize("options", [{"scale": 0}, {"scale": 1.5}, {"channels": 0}, {"channels": 17}])
def test_impossible_layouts_are_named(options):
    with pytest.raises(CourseError, match="give a scale from 1, channels 1 to 16"):
        ESPCN(**options)

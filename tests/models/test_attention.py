import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import models
from course_utils.checkpoints import load_model, save_model
from course_utils.exercises.networks import drawn, filled
from course_utils.files import CourseError
from course_utils.inference import restore
from course_utils.models import AttentionDnCNN, DnCNN
from course_utils.models.attention import BLOCKS, CBAM, SCSE, ChannelAttention, SpatialAttention

KINDS = (None, *BLOCKS)


def count(network):
    return sum(p.numel() for p in network.parameters())


def randomised(network, std=0.2):
    """All parameters random: a new network predicts no noise, and that would hide much."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network.eval()


def maps(channels=8, height=9, width=7):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1))


# --- Parameters ---


@pytest.mark.parametrize(("channels", "reduction"), [(32, 4), (32, 16), (13, 4), (3, 8)])
def test_parameters_of_the_blocks(channels, reduction):
    few = max(channels // reduction, 1)
    squeezed = 2 * channels * few + few + channels
    assert count(ChannelAttention(channels, reduction)) == squeezed
    assert count(CBAM(channels, reduction)) == squeezed + 2 * 7 * 7 + 1
    assert count(CBAM(channels, reduction, kernel=3)) == squeezed + 2 * 3 * 3 + 1
    assert count(SCSE(channels, reduction)) == squeezed + channels + 1


def test_parameters_as_the_lesson_has_them():
    counts = {name: count(make(32, 4)) for name, make in BLOCKS.items()}
    assert counts == {"SE": 552, "spatial": 99, "CBAM": 651, "scSE": 585}
    assert count(SpatialAttention(5)) == 51


@pytest.mark.parametrize("attention", BLOCKS)
def test_parameters_of_the_network_are_those_of_dncnn_and_the_blocks(attention):
    block = count(BLOCKS[attention](16, 2))
    network = AttentionDnCNN(depth=6, width=16, attention=attention, reduction=2)
    assert count(network) == count(DnCNN(depth=6, width=16)) + 4 * block


# --- What the blocks do ---


def test_channel_attention_is_squeeze_and_excitation():
    block, x = randomised(ChannelAttention(8, 2)), maps()
    w1, b1, w2, b2 = block.parameters()
    few = F.relu(F.linear(x.mean((2, 3)), w1.flatten(1), b1))
    weights = torch.sigmoid(F.linear(few, w2.flatten(1), b2))  # (N, C)
    assert block.weights(x).shape == (2, 8, 1, 1)
    assert torch.allclose(block.weights(x).flatten(1), weights, atol=1e-6)
    assert torch.allclose(block(x), torch.einsum("nchw,nc->nchw", x, weights), atol=1e-6)


def test_channel_attention_sees_means_only():
    block, x = randomised(ChannelAttention(8)), maps()
    shuffled = x.flatten(2)[..., torch.randperm(63)].view_as(x)
    assert torch.allclose(block.weights(shuffled), block.weights(x), atol=1e-6)


def test_spatial_attention_convolves_mean_and_maximum():
    block, x = randomised(SpatialAttention(3)), maps()
    weight, bias = block.parameters()
    seen = np.stack([x.numpy().mean(1), x.numpy().max(1)], axis=1)
    padded, found = np.pad(seen, ((0, 0), (0, 0), (1, 1), (1, 1))), np.zeros((2, 9, 7))
    for i in range(3):
        for j in range(3):
            kernel = weight[0, :, i, j].detach().numpy()
            found += np.einsum("nchw,c->nhw", padded[:, :, i : i + 9, j : j + 7], kernel)
    wanted = 1 / (1 + np.exp(-(found + bias.item())))
    assert np.allclose(block.weights(x)[:, 0].detach(), wanted, atol=1e-5)
    assert torch.equal(block(x), x * block.weights(x))


def test_spatial_attention_does_not_mind_the_order_of_the_maps():
    block, x = randomised(SpatialAttention()), maps()
    assert torch.allclose(block.weights(x.flip(1)), block.weights(x), atol=1e-6)


def test_cbam_weighs_maps_then_places():
    block, x = randomised(CBAM(8, 2, 3)), maps()
    f = lambda values: block.shared(values[..., None, None])[..., 0, 0]
    weights = torch.sigmoid(f(x.mean((2, 3))) + f(x.flatten(2).max(2).values))
    assert torch.allclose(block.weights(x).flatten(1), weights, atol=1e-6)
    weighted = x * weights[..., None, None]
    assert torch.allclose(block(x), weighted * block.spatial.weights(weighted), atol=1e-6)


def test_scse_adds_both():
    block, x = randomised(SCSE(8, 2)), maps()
    weight, bias = block.place.parameters()
    places = torch.sigmoid(torch.einsum("nchw,c->nhw", x, weight.flatten()) + bias)
    assert torch.allclose(block(x), x * places[:, None] + block.channel(x), atol=1e-6)


@pytest.mark.parametrize(("make", "share"), [("SE", 0.5), ("spatial", 0.5), ("CBAM", 0.25), ("scSE", 1.0)])
def test_with_parameters_of_0_each_weight_is_a_half(make, share):
    block, x = BLOCKS[make](8, 2), maps()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.allclose(block(x), share * x)


@pytest.mark.parametrize("make", BLOCKS)
def test_blocks_keep_shapes_and_images_do_not_meet(make):
    block, x = randomised(BLOCKS[make](8, 2)), maps()
    assert block(x).shape == x.shape
    assert torch.allclose(block(x)[1:], block(x[1:]), atol=1e-6)


# --- The network ---


def test_without_attention_it_is_a_dncnn():
    torch.manual_seed(0)
    network = AttentionDnCNN(depth=5, width=12, attention=None)
    torch.manual_seed(0)
    dncnn = DnCNN(depth=5, width=12)
    dncnn.load_state_dict(network.state_dict())  # the same names
    network, dncnn, y = randomised(network), randomised(dncnn), torch.rand(1, 3, 12, 15)
    assert torch.equal(network(y), dncnn(y))
    assert network.receptive_radius == dncnn.receptive_radius == 5


@pytest.mark.parametrize("attention", KINDS)
def test_a_new_network_gives_the_image_back_and_all_of_it_learns(attention):
    torch.manual_seed(0)
    network, y = AttentionDnCNN(depth=4, width=8, attention=attention, reduction=1), torch.rand(2, 3, 16, 14)
    assert torch.equal(network.restore(y), y)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        (network(y) - (y - y.mean())).square().sum().backward()
        optimizer.step()
    assert all((p != before[name]).any() for name, p in network.named_parameters())


@pytest.mark.parametrize(("attention", "radius"), [(None, 4), ("spatial", 10)])
def test_a_pixel_depends_on_the_receptive_radius_and_on_no_more(attention, radius):
    network = randomised(AttentionDnCNN(channels=1, depth=4, width=6, attention=attention)).double()
    assert network.receptive_radius == radius
    y, centre = torch.rand(1, 1, 31, 31).double(), 15
    before = network(y)[..., centre, centre]
    for offset, reached in ((radius, True), (radius + 1, False)):
        changed = y.clone()
        changed[..., centre, centre + offset] += 20
        difference = (network(changed)[..., centre, centre] - before).abs().max()
        assert (difference > 1e-12) == reached


@pytest.mark.parametrize("attention", ["SE", "CBAM", "scSE"])
def test_a_mean_over_the_image_has_no_radius_and_images_are_taken_whole(attention):
    network = randomised(AttentionDnCNN(depth=4, width=6, attention=attention), std=0.5)
    assert network.receptive_radius is None
    y = torch.rand(3, 40, 44) * torch.linspace(0.1, 1, 44)  # darker at the left
    changed = y.clone()
    changed[:, -9:, -9:] = 0
    assert (network(changed[None]) - network(y[None]))[..., 0, 0].abs().max() > 1e-5
    whole = network.restore(y[None])[0].clamp(0, 1)
    assert torch.allclose(restore(network, y), whole, atol=1e-4)
    assert (restore(network, y, tile=16, halo=4) - whole).abs().max() > 1e-2


@pytest.mark.parametrize("attention", KINDS)
def test_a_saved_network_loads_as_it_was(tmp_path, attention):
    network = randomised(AttentionDnCNN(channels=1, depth=4, width=6, attention=attention, reduction=2))
    assert json.loads(json.dumps(network.config)) == network.config
    save_model(tmp_path / "network.safetensors", network)
    twin, y = load_model(tmp_path / "network.safetensors"), torch.rand(1, 1, 13, 12)
    assert isinstance(twin, models.AttentionDnCNN) and twin.config == network.config
    assert torch.equal(twin(y), network(y))


@pytest.mark.parametrize(("options", "message"), [({"depth": 2}, "depth=2 is below 3"), ({"attention": "se"}, "'se'")])
def test_impossible_settings_are_named(options, message):
    with pytest.raises(CourseError, match=message):
        AttentionDnCNN(**options)


# --- Filling a network by shape, for exercises ---


def test_filled_by_shape_does_not_mind_the_order_of_branches():
    class Other(SCSE):
        def forward(self, x):
            return self.channel(x) + x * torch.sigmoid(self.place(x))

    x = maps(12)
    with torch.no_grad():
        found = [filled(make(12, 3), x, seed=5, by_shape=True)(x) for make in (SCSE, Other)]
        assert torch.allclose(*found, atol=1e-6)
        network = filled(ChannelAttention(12, 3), x, seed=5, by_shape=True)
    assert np.allclose(network.layers[2].weight.detach().flatten(1), drawn(5, "weight", (12, 4)))


def test_filled_by_shape_gives_linear_layers_what_1x1_convolutions_get():
    with torch.no_grad():
        linear = filled(nn.Linear(6, 3), torch.rand(2, 6), seed=1, by_shape=True)
        convolution = filled(nn.Conv2d(6, 3, 1), torch.rand(2, 6, 4, 4), seed=1, by_shape=True)
    assert torch.equal(linear.weight, convolution.weight.flatten(1))
    assert torch.equal(linear.bias, convolution.bias)

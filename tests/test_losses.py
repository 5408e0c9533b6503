import pytest
import torch

from course_utils import features
from course_utils.features import LAYERS, features_at, imagenet_normalised
from course_utils.losses import L1Perceptual, mse_loss, perceptual_loss, residual_loss, total_variation

SHAPE = (4, 3, 5, 6)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(SHAPE, generator=generator) for _ in range(3)]


def test_residual_loss_is_the_equation_of_the_paper():
    predicted, degraded, clean = batch()
    total = 0.0
    for r, y, x in zip(predicted, degraded, clean, strict=True):
        total += ((r - (y - x)) ** 2).sum().item()
    assert residual_loss(predicted, degraded, clean).item() == pytest.approx(total / (2 * 4), rel=1e-5)


def test_residual_loss_is_zero_for_the_noise_and_not_for_its_opposite():
    _, degraded, clean = batch()
    assert residual_loss(degraded - clean, degraded, clean).item() == 0
    assert residual_loss(clean - degraded, degraded, clean).item() > 1


def test_residual_loss_is_a_mean_over_images():
    once = batch()
    twice = [torch.cat([images, images]) for images in once]
    assert residual_loss(*twice).item() == pytest.approx(residual_loss(*once).item(), rel=1e-6)


def test_residual_loss_has_the_gradient_of_half_a_square():
    predicted, degraded, clean = batch()
    predicted.requires_grad_()
    residual_loss(predicted, degraded, clean).backward()
    torch.testing.assert_close(predicted.grad, (predicted.detach() - (degraded - clean)) / 4)


def test_mse_loss_compares_the_image_with_the_clean_one():
    restored, degraded, clean = batch()
    assert mse_loss(restored, degraded, clean).item() == pytest.approx(((restored - clean) ** 2).mean().item())
    assert mse_loss(clean, degraded, clean).item() == 0


@pytest.mark.parametrize("loss", [residual_loss, mse_loss])
def test_float32_whatever_the_precision_of_the_network(loss):
    big = torch.full((1, 3, 256, 256), 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(big.half(), big.half(), big.half())
    assert value.dtype == torch.float32
    assert value.item() == (98304 if loss is residual_loss else 0)  # above the 65504 that 16 bits can hold


# --- Total variation ---


def test_total_variation_is_the_mean_over_both_kinds_of_neighbours():
    x = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]])[None, None]
    assert total_variation(x).item() == pytest.approx((1 + 0 + 1) / 3 + 4 * 0.5 / 4)


def test_total_variation_agrees_with_numpy_and_does_not_grow_with_the_patch():
    import numpy as np

    x = batch()[0]
    rough = sum(np.abs(np.diff(x.numpy(), axis=axis)).mean() for axis in (2, 3))
    assert total_variation(x).item() == pytest.approx(rough, rel=1e-5)
    assert total_variation(torch.cat([x, x])).item() == pytest.approx(rough, rel=1e-5)
    assert total_variation(torch.full((1, 3, 5, 5), 0.3)).item() == 0
    assert total_variation(3 * x + 1).item() == pytest.approx(3 * rough, rel=1e-5)


# --- Perceptual loss ---


@pytest.fixture
def network():
    return features.load("random")


def pictures(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(2, 3, 16, 12, generator=generator) for _ in range(3)]


def test_perceptual_loss_is_a_mean_over_layers_of_mean_differences(network):
    restored, clean, _ = pictures()
    one, other = (features_at(network, imagenet_normalised(each), LAYERS) for each in (restored, clean))
    expected = sum((one[name] - other[name]).abs().mean().item() for name in LAYERS) / 3
    assert perceptual_loss(network, restored, clean, LAYERS).item() == pytest.approx(expected, rel=1e-5)
    assert perceptual_loss(network, clean, clean, LAYERS).item() == 0
    assert perceptual_loss(network, clean, restored, LAYERS).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_reach_the_restored_images_alone(network):
    restored, clean, _ = (each.requires_grad_() for each in pictures())
    perceptual_loss(network, restored, clean, LAYERS).backward()
    assert restored.grad.abs().max() > 0
    assert clean.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_l1_perceptual_is_l1_of_the_image_and_the_weighted_rest(network):
    noise, degraded, clean = pictures()
    restored = degraded - noise
    pixels = (restored - clean).abs().mean().item()
    far = perceptual_loss(network, restored, clean, LAYERS).item()
    assert L1Perceptual(network)(noise, degraded, clean).item() == pytest.approx(pixels + 0.1 * far, rel=1e-5)
    assert L1Perceptual(network, 0)(noise, degraded, clean).item() == pytest.approx(pixels, rel=1e-5)
    assert L1Perceptual(network)(degraded - clean, degraded, clean).item() == pytest.approx(0, abs=1e-5)


def test_a_training_with_it_changes_the_network_and_not_the_features(network):
    from course_utils.models import DnCNN
    from course_utils.training import train_step

    before = [parameter.clone() for parameter in network.parameters()]
    torch.manual_seed(0)
    model, loss = DnCNN(depth=3, width=4), L1Perceptual(network)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    _, degraded, clean = pictures()
    losses = [train_step(model, optimizer, degraded, clean, loss).item() for _ in range(30)]
    assert losses[-1] < losses[0]
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    assert not network.training


def test_the_features_are_taken_in_float32(network):
    noise, degraded, clean = (each.to(torch.bfloat16) for each in pictures())
    assert L1Perceptual(network)(noise, degraded, clean).dtype == torch.float32

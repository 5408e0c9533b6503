import pytest
import torch

from course_utils.losses import mse_loss, residual_loss

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

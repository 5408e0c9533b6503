import subprocess
import sys

import pytest
import torch

from course_utils.files import CourseError
from course_utils.models import DnCNN

TINY = {"depth": 4, "width": 8}


def filled(**layout):
    """A network whose last layer is not zero any more."""
    torch.manual_seed(0)
    model = DnCNN(**layout)
    for parameter in model.layers[-1].parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_parameters_of_the_literature():
    assert parameters(DnCNN()) == 559_363
    assert parameters(DnCNN(channels=1, batch_norm=False)) == 555_137


def test_parameters_follow_from_the_layout():
    def by_hand(channels, depth, width, norm):
        first, last = 9 * channels * width + width, 9 * width * channels + channels
        return first + (depth - 2) * (9 * width * width + width + 2 * width * norm) + last

    for layout in ((1, 17, 64, True), (3, 5, 12, False), (1, 20, 64, True)):
        assert parameters(DnCNN(*layout)) == by_hand(*layout)


def test_keeps_the_shape_and_restores_by_subtraction():
    model = filled(**TINY).eval()
    y = torch.rand(2, 3, 11, 7)
    assert model(y).shape == y.shape and model(y).abs().max() > 0.01
    assert torch.equal(model.restore(y), y - model(y))


def test_untrained_it_gives_the_image_back():
    y = torch.rand(2, 3, 11, 7)
    assert torch.equal(DnCNN(**TINY).restore(y), y)


def test_the_layers_are_those_of_the_paper():
    kinds = [type(layer).__name__ for layer in DnCNN().layers]
    assert kinds == ["Conv2d", "ReLU", *["Conv2d", "BatchNorm2d", "ReLU"] * 15, "Conv2d"]
    assert all(layer.bias is not None for layer in DnCNN().layers if isinstance(layer, torch.nn.Conv2d))
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in DnCNN(batch_norm=False).layers)


def test_a_pixel_depends_on_the_receptive_radius_and_on_no_more():
    model = filled(depth=5, width=8, channels=1).eval()
    y = torch.rand(1, 1, 31, 31, requires_grad=True)
    model(y)[0, 0, 15, 15].backward()
    reach = y.grad[0, 0].nonzero() - 15
    assert model.receptive_radius == reach.abs().max().item() == 5


def test_predicts_noise_of_both_signs():
    output = filled(**TINY)(torch.rand(4, 3, 16, 16))
    assert output.min() < 0 < output.max()


def test_batch_norm_learns_in_training_and_rests_in_evaluation():
    model, y = DnCNN(**TINY), torch.rand(4, 3, 16, 16)
    mean = model.layers[3].running_mean.clone()
    model.eval()(y)
    assert torch.equal(mean, model.layers[3].running_mean)
    model.train()(y)
    assert not torch.equal(mean, model.layers[3].running_mean)


def test_far_pixels_change_the_result_in_training_mode_alone():
    model, y = filled(channels=1, **TINY), torch.rand(1, 1, 8, 40)
    other = y.clone()
    other[..., 30:] = 1 - other[..., 30:]
    near = slice(0, 30 - model.receptive_radius)
    with torch.no_grad():
        assert torch.equal(model.eval()(y)[..., near], model(other)[..., near])
        assert not torch.allclose(model.train()(y)[..., near], model(other)[..., near], atol=1e-3)


def test_behind_a_last_layer_of_zeros_the_others_learn_from_the_second_step_on():
    model, y, noise = DnCNN(**TINY), torch.rand(4, 3, 16, 16), 0.1 * torch.randn(4, 3, 16, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for reached in (False, True):  # no gradient gets past a last layer of zeros until it has moved, after one step
        optimizer.zero_grad()
        (model(y) - noise).square().sum().backward()
        assert bool(model.layers[0].weight.grad.any()) is reached
        assert model.layers[-1].weight.grad.any()
        optimizer.step()


def test_config_builds_the_same_network():
    model = filled(channels=1, depth=5, width=6, batch_norm=False)
    twin = DnCNN(**model.config)
    twin.load_state_dict(model.state_dict())
    y = torch.rand(1, 1, 9, 9)
    assert torch.equal(twin(y), model(y))


@pytest.mark.parametrize("depth", [2, 0, -1])
def test_too_shallow(depth):
    with pytest.raises(CourseError, match=f"depth={depth}"):
        DnCNN(depth=depth)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (1, 4, 8, 8)])
def test_wrong_input_is_named(shape):
    with pytest.raises(CourseError, match=r"DnCNN\(channels=3\) takes \(N, 3, H, W\), not \(" + str(shape[0])):
        DnCNN(**TINY)(torch.rand(shape))


def test_the_package_names_its_networks_and_loads_them_when_used():
    code = "import sys, course_utils.models as m; print('torch' in sys.modules, 'DnCNN' in dir(m), m.DnCNN.__name__)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "True", "DnCNN"]


def test_unknown_network():
    import course_utils.models

    with pytest.raises(AttributeError, match="has no 'DnCMM'; it has DnCNN"):
        course_utils.models.DnCMM  # noqa: B018

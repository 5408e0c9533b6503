import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from course_utils.checkpoints import load_model, load_state, read_notes, read_state, save_model, save_state
from course_utils.files import CourseError
from course_utils.models import DnCNN
from course_utils.training import train_step

TINY = {"channels": 1, "depth": 4, "width": 6}


def trained(steps=3):
    torch.manual_seed(0)
    model = DnCNN(**TINY)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        train_step(model, optimizer, torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8))
    return model, optimizer


def test_a_model_comes_back_ready_to_use(tmp_path):
    model, _ = trained()
    save_model(tmp_path / "a.safetensors", model, psnr=30.4, remark="scans")
    twin = load_model(tmp_path / "a.safetensors")
    assert twin.config == model.config and not twin.training
    y = torch.rand(1, 1, 9, 9)
    assert torch.equal(twin.restore(y), model.eval().restore(y))
    assert read_notes(tmp_path / "a.safetensors") == {"psnr": 30.4, "remark": "scans"}


def test_a_class_of_ones_own_is_filled(tmp_path):
    class MyNet(torch.nn.Sequential):
        pass

    def make():
        return MyNet(torch.nn.Conv2d(1, 1, 3))

    model = make()
    save_model(tmp_path / "a.safetensors", model)
    with pytest.raises(CourseError, match=r"holds MyNet, but course_utils.models has .*into=it"):
        load_model(tmp_path / "a.safetensors")
    twin = load_model(tmp_path / "a.safetensors", into=make())
    assert torch.equal(twin[0].weight, model[0].weight)


def file_of(path, about, tensors=None):
    metadata = {} if about is None else {"course_utils": about if isinstance(about, str) else json.dumps(about)}
    save_file(DnCNN(**TINY).state_dict() if tensors is None else tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (None, "does not say which network it holds"),
        ("{", "no whole safetensors file"),
        ("[1]", "does not say which network"),
        ({"network": "Popen", "config": {}}, "holds Popen, but course_utils.models has"),
        ({"network": "__getattr__", "config": {}}, "holds __getattr__, but"),
        ({"network": ["DnCNN"], "config": {}}, "holds .*DnCNN.*, but"),
        ({"network": "DnCNN", "config": None}, "says no configuration"),
        ({"network": "DnCNN", "config": {"deep": 4}}, "no DnCNN can be built from .*deep"),
        ({"network": "DnCNN", "config": {"depth": 1}}, "no DnCNN can be built"),
        ({"network": "DnCNN", "config": {"width": -1}}, "no DnCNN can be built"),
        ({"network": "DnCNN", "config": [4]}, "no DnCNN can be built"),
        ({"network": "DnCNN", "config": TINY | {"depth": 5}}, "does not fit DnCNN: .* is missing"),
        ({"network": "DnCNN", "config": TINY | {"depth": 3}}, "does not fit DnCNN: .* is unknown"),
        (
            {"network": "DnCNN", "config": TINY | {"width": 7}},
            r"layers.0.bias is \(6,\), not \(7,\)|layers.0.weight is",
        ),
        ({"state": {}}, "best.safetensors beside it"),
    ],
)
def test_a_file_of_something_else(tmp_path, about, message):
    file_of(tmp_path / "a.safetensors", about)
    with pytest.raises(CourseError, match=message):
        load_model(tmp_path / "a.safetensors")


def test_files_that_are_none(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(CourseError, match="no such file"):
        load_model(path)
    save_model(path, DnCNN(**TINY))
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CourseError, match="no whole safetensors file"):
            load_model(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(CourseError, match="no whole safetensors file"):
        load_model(path)


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CourseError, match="no whole safetensors file"):
        load_model(tmp_path / "a.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(tmp_path, bad):
    path = tmp_path / "a.safetensors"
    model = DnCNN(**TINY)
    save_model(path, model)
    before = path.read_bytes()
    with torch.no_grad():
        model.layers[2].bias[1] = bad
    with pytest.raises(CourseError, match=r"layers.2.bias holds NaN or infinity.*lower lr"):
        save_model(path, model)
    assert path.read_bytes() == before
    file_of(path, {"network": "DnCNN", "config": TINY}, model.state_dict())
    with pytest.raises(CourseError, match=r"layers.2.bias holds NaN"):
        load_model(path)


def test_training_goes_on_from_a_state_as_if_never_stopped(tmp_path):
    model, optimizer = trained()
    about = {"step": 3, "loss": 0.1 + 0.2, "history": {"psnrs": [1 / 3]}}
    save_state(tmp_path / "s.safetensors", model, optimizer, about, best=DnCNN(**TINY).state_dict())
    twin = DnCNN(**TINY)
    twins_optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    read, best = load_state(tmp_path / "s.safetensors", twin, twins_optimizer)
    assert read == read_state(tmp_path / "s.safetensors") == about
    assert best.keys() == model.state_dict().keys()
    batch = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    for _ in range(2):
        assert train_step(model, optimizer, *batch) == train_step(twin, twins_optimizer, *batch)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name


def test_a_state_without_best_weights_and_before_the_first_step(tmp_path):
    model, optimizer = trained(steps=0)
    save_state(tmp_path / "s.safetensors", model, optimizer, {"step": 0})
    assert load_state(tmp_path / "s.safetensors", model, optimizer) == ({"step": 0}, None)


def test_a_state_of_something_else(tmp_path):
    model, optimizer = trained()
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(CourseError, match="is a model, not the state of a training"):
        load_state(tmp_path / "m.safetensors", model, optimizer)
    save_state(tmp_path / "s.safetensors", model, optimizer, {})
    other = DnCNN(**TINY | {"depth": 5})
    with pytest.raises(CourseError, match="the state of another DnCNN"):
        load_state(tmp_path / "s.safetensors", other, torch.optim.Adam(other.parameters()))


def test_channels_last_weights_can_be_saved(tmp_path):
    model = DnCNN(**TINY).to(memory_format=torch.channels_last)
    save_model(tmp_path / "a.safetensors", model)
    assert torch.equal(load_model(tmp_path / "a.safetensors").layers[2].weight, model.layers[2].weight)

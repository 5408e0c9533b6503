"""Augmentation: pairs stay pairs, every window and every way comes up, and all chance comes from rng."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.augment import Augmented, cutblur, mixup, paired_crop, self_ensemble, turn_pair
from course_utils.files import CourseError


def rng(seed=0):
    return np.random.default_rng(seed)


def numbered(channels, height, width, start=0):
    """An image whose values all differ."""
    count = channels * height * width
    return torch.arange(start, start + count, dtype=torch.float32).reshape(channels, height, width)


# --- paired_crop ---


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 12), st.integers(4, 12), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_a_window_stands_scale_times_as_far_in_the_clean_image(height, width, size, scale, seed):
    degraded = numbered(1, height, width)
    clean = degraded.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)
    small, large = paired_crop(degraded, clean, size, rng(seed), scale)
    assert small.shape == (1, size, size)
    assert torch.equal(small.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1), large)


def test_every_window_comes_up():
    image, generator = numbered(1, 5, 6), rng()
    corners = {paired_crop(image, image, 3, generator)[0][0, 0, 0].item() for _ in range(400)}
    assert corners == {6.0 * top + left for top in range(3) for left in range(4)}


def test_a_window_as_large_as_the_image_is_the_image():
    image = numbered(3, 4, 4)
    assert torch.equal(paired_crop(image, image, 4, rng())[1], image)


@pytest.mark.parametrize(
    "shape, size, scale, says",
    [
        ((3, 8, 9), 4, 1, r"clean image is \(3, 8, 9\).*with scale=1 it is 8 high and 8 wide"),
        ((3, 16, 16), 4, 3, "with scale=3 it is 24 high and 24 wide"),
        ((3, 8, 8), 9, 1, "a window of 9 x 9 does not fit an image of 8 x 8"),
        ((3, 8, 8), 0, 1, "a window of 0 x 0 does not fit"),
    ],
)
def test_what_is_no_pair_or_does_not_fit_is_an_error(shape, size, scale, says):
    with pytest.raises(CourseError, match=says):
        paired_crop(torch.zeros(3, 8, 8), torch.zeros(shape), size, rng(), scale)


# --- turn_pair ---


def all_ways(image):
    turned = [torch.from_numpy(np.rot90(image.numpy(), turns, axes=(-2, -1)).copy()) for turns in range(4)]
    return turned + [each.flip(-1) for each in turned]


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 5), (2, 3, 4, 4)])
def test_both_images_take_the_same_one_of_eight_ways(shape):
    degraded = torch.arange(np.prod(shape), dtype=torch.float32).reshape(shape)
    clean = degraded + 1000
    ways, generator, counts = all_ways(degraded), rng(), np.zeros(8)
    for _ in range(1600):
        turned, target = turn_pair(degraded, clean, generator)
        (way,) = [i for i, each in enumerate(ways) if torch.equal(each, turned)]
        assert torch.equal(target, turned + 1000)
        counts[way] += 1
    assert ((counts - 200) ** 2 / 200).sum() < 30  # chi squared, 7 degrees of freedom: once in 10,000


def test_images_of_two_sizes_turn_alike():
    degraded = numbered(1, 3, 4)
    clean = degraded.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    for seed in range(20):
        small, large = turn_pair(degraded, clean, rng(seed))
        assert torch.equal(small.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1), large)


# --- cutblur ---


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 12), st.integers(4, 12), st.sampled_from([0, 0.25, 0.5, 0.7, 1]), st.integers(0, 99))
def test_cutblur_moves_a_rectangle_and_leaves_the_target(height, width, share, seed):
    degraded, clean = numbered(3, height, width), numbered(3, height, width, start=5000)
    kept = degraded.clone(), clean.clone()
    mixed, target = cutblur(degraded, clean, rng(seed), share)
    assert target is clean
    assert torch.equal(degraded, kept[0]) and torch.equal(clean, kept[1])
    from_clean = (mixed == clean).all(dim=0)
    assert torch.equal(torch.where(from_clean, clean, degraded), mixed)
    area = round(share * height) * round(share * width)
    assert from_clean.sum() in (area, height * width - area)


def test_cutblur_goes_both_ways_evenly_and_everywhere():
    degraded, clean, generator = torch.zeros(1, 6, 6), torch.ones(1, 6, 6), rng()
    mixed = torch.stack([cutblur(degraded, clean, generator, 0.5)[0][0] for _ in range(800)])
    inside = mixed.mean(dim=(1, 2)) < 0.5  # 9 of 36 pixels are clean
    assert 340 < inside.sum() < 460
    assert torch.equal(mixed[inside].amax(dim=0), torch.ones(6, 6))
    assert torch.equal(mixed[~inside].amin(dim=0), torch.zeros(6, 6))


@pytest.mark.parametrize(
    "shape, share, says",
    [((3, 4, 5), 0.5, r"\(3, 4, 4\) and the clean one \(3, 4, 5\)"), ((3, 4, 4), 1.5, "share=1.5")],
)
def test_cutblur_of_two_sizes_or_of_no_part_is_an_error(shape, share, says):
    with pytest.raises(CourseError, match=says):
        cutblur(torch.zeros(3, 4, 4), torch.zeros(shape), rng(), share)


# --- mixup ---


def test_mixup_weighs_both_images_alike():
    one, two = (torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)), (torch.ones(3, 4, 4), torch.full((3, 4, 4), 2.0))
    generator, weights = rng(), []
    for _ in range(500):
        degraded, clean = mixup(one, two, generator)
        assert torch.allclose(clean, 2 * degraded)
        weights.append(degraded[0, 0, 0].item())
    assert 0 <= min(weights) and max(weights) <= 1
    assert abs(np.mean(weights) - 0.5) < 0.05
    assert abs(np.var(weights) - 1 / (4 * (2 * 1.2 + 1))) < 0.015  # of the beta distribution


# --- chance ---


@pytest.mark.parametrize(
    "augment",
    [
        lambda d, c, r: paired_crop(d, c, 4, r),
        turn_pair,
        cutblur,
        lambda d, c, r: mixup((d, c), (c, d), r),
    ],
)
def test_all_chance_comes_from_rng(augment):
    degraded, clean = numbered(3, 9, 9), numbered(3, 9, 9, start=500)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (augment(degraded, clean, rng(5)) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    others = [augment(degraded, clean, rng(seed))[0] for seed in range(12)]
    assert len({other.sum().item() for other in others} | {str(other) for other in others}) > 2
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(before[1], np.random.get_state()[1])


# --- Augmented ---


def pairs(count=3):
    return [(numbered(1, 8, 8, start=100 * i), numbered(1, 8, 8, start=100 * i + 5000)) for i in range(count)]


def crop_and_turn(degraded, clean, generator):
    return turn_pair(*paired_crop(degraded, clean, 4, generator), generator)


def test_a_sample_depends_on_the_seed_and_its_number_alone():
    samples, again, other = (Augmented(pairs(), crop_and_turn, seed=seed) for seed in (1, 1, 2))
    forwards = [samples[i] for i in range(20)]
    backwards = [again[i] for i in reversed(range(20))][::-1]
    for one, two in zip(forwards, backwards, strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
        assert torch.equal(one[0] + 5000, one[1])
    assert any(not torch.equal(samples[i][0], other[i][0]) for i in range(20))
    assert len({samples[i][0].sum().item() for i in range(20)}) > 15  # anew each time


def test_all_pairs_are_drawn_and_a_loop_ends():
    samples = Augmented(pairs(), lambda degraded, clean, generator: (degraded, clean))
    assert {int(samples[i][0][0, 0, 0]) for i in range(60)} == {0, 100, 200}
    assert len(samples) == len(list(samples)) == 3


def test_what_cannot_be_augmented_is_an_error():
    with pytest.raises(CourseError, match="no pairs to augment"):
        Augmented([], turn_pair)
    with pytest.raises(CourseError, match="a seed is a whole number from 0, not -1"):
        Augmented(pairs(), turn_pair, seed=-1)
    with pytest.raises(CourseError, match="counted from 0, not -1"):
        Augmented(pairs(), turn_pair)[-1]


def test_a_training_takes_augmented_pairs_and_repeats_itself():
    from course_utils.models import DnCNN
    from course_utils.training import fit

    images = [(torch.rand(3, 24, 24), torch.rand(3, 24, 24)) for _ in range(2)]
    augment = lambda d, c, r: cutblur(*turn_pair(*paired_crop(d, c, 16, r), r), r)
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        model = DnCNN(depth=3, width=4)
        fit(model, Augmented(images, augment, seed=3), images[:1], steps=3, batch_size=2, progress=False)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)


# --- self_ensemble ---


def test_eight_answers_of_a_network_that_turns_with_the_image_are_one():
    image = torch.rand(3, 5, 7)
    assert torch.allclose(self_ensemble(lambda y: 1 - y, image), 1 - image, atol=1e-6)


def test_it_is_the_mean_over_the_eight_ways():
    image = torch.rand(3, 4, 6)
    tilt = lambda y: y + torch.arange(y.shape[-1]) / 10  # brighter to the right, whatever it is shown
    ramp = lambda count: (torch.arange(count) + torch.arange(count).flip(0)) / 40
    wanted = image + (ramp(6)[None, :] + ramp(4)[:, None])  # across and down, each as often forwards as backwards
    assert torch.allclose(self_ensemble(tilt, image), wanted, atol=1e-6)


def test_it_enlarges_where_the_network_does():
    image = torch.rand(3, 4, 6)
    enlarge = lambda y: y.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    assert torch.allclose(self_ensemble(enlarge, image), enlarge(image), atol=1e-6)

"""The six effects of a scan: pure, seeded, in range, and each doing what its docstring says in physical terms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data.pages import magazine_page
from course_utils.degrade import (
    KNOWN_SCANNERS,
    SCANNERS,
    UNSEEN_SCANNER,
    BleedThrough,
    ColourTransition,
    Dust,
    Halftone,
    SensorNoise,
    Texture,
    scanner,
)
from course_utils.degrade import scan as module
from course_utils.files import CourseError
from course_utils.images import to_tensor

EFFECTS = [Halftone(), BleedThrough(), ColourTransition(), SensorNoise(), Dust(), Texture()]
ALL = [*EFFECTS, *SCANNERS.values()]


def rng(seed=0):
    return np.random.default_rng(seed)


def flat(value, size=96):
    return torch.full((3, size, size), float(value))


def mean_light(x):
    """Mean linear light of each channel: what an eye far away sees."""
    return module.to_linear(x.numpy()).mean(axis=(1, 2))


@pytest.fixture(scope="module")
def page():
    return to_tensor(magazine_page(rng(6), "test", 256))


@pytest.mark.parametrize("effect", ALL, ids=lambda e: type(e).__name__)
@settings(max_examples=8, deadline=None)
@given(height=st.integers(24, 70), width=st.integers(24, 70), seed=st.integers(0, 99), batch=st.sampled_from([0, 1, 2]))
def test_every_effect_keeps_shape_type_and_range_and_is_pure(effect, height, width, seed, batch):
    shape = (batch, 3, height, width) if batch else (3, height, width)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    before = x.clone()
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    y = effect(x, rng(seed))
    assert y.shape == x.shape and y.dtype == torch.float32
    assert 0 <= y.min() and y.max() <= 1
    assert torch.equal(x, before)
    assert torch.equal(y, effect(x, rng(seed)))
    assert np.array_equal(np.random.get_state()[1], state) and torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("effect", ALL, ids=lambda e: type(e).__name__)
def test_another_seed_gives_another_scan(effect, page):
    assert not torch.equal(effect(page, rng(1)), effect(page, rng(2)))


def test_in_a_batch_every_image_draws_its_own(page):
    noisy = SensorNoise()(torch.stack([page, page]), rng())
    assert not torch.equal(noisy[0], noisy[1])
    assert torch.equal(noisy[0], SensorNoise()(page, rng()))


@pytest.mark.parametrize(
    "bad, says",
    [
        (np.zeros((3, 8, 8), np.float32), "ndarray"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.zeros(1, 8, 8), r"\(1, 8, 8\)"),
        (torch.full((3, 8, 8), 1.5), "1.5"),
        (torch.full((3, 8, 8), float("nan")), "NaN"),
    ],
)
def test_wrong_images_are_named(bad, says):
    with pytest.raises(CourseError, match=says):
        SensorNoise()(bad, rng())


def test_a_seed_is_not_a_generator():
    with pytest.raises(CourseError, match=r"int.*default_rng"):
        SensorNoise()(flat(0.5), 0)


# Halftone


@pytest.mark.parametrize(
    "colour", [(1, 1, 1), (0.5, 0.5, 0.5), (0.8, 0.3, 0.3), (0.3, 0.6, 0.4), (0.35, 0.45, 0.65), (0.1, 0.1, 0.1)]
)
def test_a_print_without_dot_gain_has_the_colour_from_afar(colour):
    x = torch.tensor(colour, dtype=torch.float32).view(3, 1, 1).expand(3, 192, 192).contiguous()
    y = Halftone(period=4, dot_gain=0)(x, rng())
    assert np.abs(mean_light(y) - mean_light(x)).max() < 0.02


@settings(max_examples=10, deadline=None)
@given(tone=st.floats(0.3, 0.9), gain=st.floats(0.05, 0.2))
def test_dot_gain_darkens(tone, gain):
    plain, gained = (Halftone(period=4, dot_gain=g)(flat(tone), rng()) for g in (0, gain))
    assert mean_light(gained).mean() < mean_light(plain).mean()


def test_dot_gain_counts_as_documented():
    halftone, coverage = Halftone(period=6, dot_gain=0.15), 0.5
    printed = coverage + 4 * halftone.dot_gain * coverage * (1 - coverage)
    dots = halftone.screen(np.full((240, 240), printed, np.float32), 45, rng())
    assert dots.mean() == pytest.approx(0.65, abs=0.01)


@pytest.mark.parametrize("name", module.ANGLES)
def test_screens_stand_at_their_angle_and_period(name):
    period, angle = 6.0, module.ANGLES[name]
    dots = Halftone(period=period).screen(np.full((256, 256), 0.4, np.float32), angle, rng(5)).astype(float)
    spectrum = np.abs(np.fft.fft2(dots - dots.mean()))
    fy, fx = (np.fft.fftfreq(side) for side in dots.shape)
    row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
    found = np.hypot(fy[row], fx[column])
    assert 1 / found == pytest.approx(period * Halftone.OVERSAMPLING, rel=0.03)
    turned = np.rad2deg(np.arctan2(fy[row], fx[column])) % 90
    assert min(abs(turned - angle % 90), 90 - abs(turned - angle % 90)) < 2.5


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.6, 0.9, 1.0])
def test_dots_cover_the_share_that_the_tone_asks_for(share):
    dots = Halftone(period=5).screen(np.full((200, 200), share, np.float32), 15, rng(2))
    assert dots.mean() == pytest.approx(share, abs=0.01)


def test_white_paper_stays_white_and_black_type_is_black():
    assert Halftone()(flat(1), rng()).min() > 0.999
    assert Halftone()(flat(0.07), rng()).max() < 0.12


# Bleed-through


def test_the_back_shows_mirrored():
    back = torch.ones(3, 128, 128)
    back[:, :, :32] = 0  # black at the left edge of the back
    y = BleedThrough(strength=0.2, backs=(back,))(torch.ones(3, 128, 128), rng())
    assert y[:, :, 110:120].mean() < y[:, :, 20:60].mean() - 0.05


def test_a_black_back_takes_away_its_strength():
    y = BleedThrough(strength=0.2, backs=(torch.zeros(3, 64, 64),))(torch.ones(3, 64, 64), rng())
    assert mean_light(y) == pytest.approx([0.8] * 3, abs=1e-3)


def test_an_empty_back_changes_nothing(page):
    y = BleedThrough(backs=(torch.ones_like(page),))(page, rng())
    assert torch.allclose(y, page, atol=1e-4)


def test_a_back_of_another_size_is_refused():
    with pytest.raises(CourseError, match=r"\(96, 96\).*\(64, 64\)"):
        BleedThrough(backs=(torch.ones(3, 64, 64),))(flat(1), rng())


# Colour transition


def test_fading_lifts_black_and_cast_tints_white():
    effect = ColourTransition(cast=(1, 0.9, 0.7), fading=0.15, saturation=1, gamma=1, spread=0)
    assert effect(flat(0), rng()).mean(dim=(1, 2))[0].item() == pytest.approx(0.15, abs=1e-3)
    assert mean_light(effect(flat(1), rng())) == pytest.approx([1, 0.9, 0.7], abs=1e-3)


def test_no_strength_no_change(page):
    effect = ColourTransition(cast=(1, 1, 1), fading=0, saturation=1, gamma=1, spread=0)
    assert torch.allclose(effect(page, rng()), page, atol=1e-5)


# Noise


def test_photon_noise_grows_with_the_signal():
    effect = SensorNoise(shot=8, read=1, streaks=0)
    dark, light = (effect(flat(v, 200), rng()).std().item() * 255 for v in (0.05, 0.7))
    assert dark == pytest.approx(np.hypot(8 * np.sqrt(0.05), 1), rel=0.08)
    assert light == pytest.approx(np.hypot(8 * np.sqrt(0.7), 1), rel=0.08)


def test_streaks_run_along_the_columns():
    y = SensorNoise(shot=0, read=0, streaks=0.02)(flat(0.5), rng())
    assert y.std(dim=1).max() < 1e-6  # down a column
    assert y.std(dim=2).mean() > 0.005  # across them


# Dust


def test_dust_touches_little_and_scales_with_the_page():
    def touched(size, seed):
        return (Dust()(flat(0.6, size), rng(seed)) - 0.6).abs().amax(0).gt(0.02).sum().item()

    small, large = (sum(touched(size, seed) for seed in range(6)) for size in (256, 512))
    assert 0 < small and large > 2 * small
    assert large / 6 < 0.03 * 512**2


def test_a_clean_glass_changes_nothing(page):
    assert torch.allclose(Dust(specks=0, hairs=0, scratches=0)(page, rng()), page, atol=1e-6)


# Texture


def test_grain_is_as_strong_as_told():
    y = Texture(grain=0.02, warp=0, blur=0)(flat(0.7, 256), rng())
    light = module.to_linear(y.numpy()).mean(axis=0)
    assert light.std() / light.mean() == pytest.approx(0.02 * np.sqrt(1 + 1 + 0.49), rel=0.1)


def test_warp_moves_by_less_than_a_pixel_and_pairs_stay_pairs(page):
    y = Texture(grain=0, warp=0.15, blur=0)(page, rng())
    shifted = torch.roll(page, 1, dims=2)
    assert (y - page).square().mean() < 0.3 * (shifted - page).square().mean()
    assert torch.allclose(Texture(grain=0, warp=0, blur=0)(page, rng()), page, atol=1e-4)


# Scanners


def test_the_test_scanner_is_unseen():
    assert UNSEEN_SCANNER in SCANNERS and UNSEEN_SCANNER not in KNOWN_SCANNERS
    assert set(KNOWN_SCANNERS) | {UNSEEN_SCANNER} == set(SCANNERS)
    assert len(set(SCANNERS.values())) == len(SCANNERS)


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scan_is_much_worse_and_yet_the_same_page(name, page):
    y = scanner(name)(page, rng())
    psnr = -10 * torch.log10((y - page).square().mean()).item()
    assert 14 < psnr < 24
    assert np.corrcoef(y.numpy().ravel(), page.numpy().ravel())[0, 1] > 0.9


def test_a_scanner_shows_the_backs_it_is_given(page):
    plain, with_back = (
        scanner("office", backs)(page, rng()) for backs in ([torch.ones_like(page)], [torch.zeros_like(page)])
    )
    assert with_back.mean() < plain.mean() - 0.03


def test_an_unknown_scanner_is_named():
    with pytest.raises(CourseError, match="'fax'.*flatbed"):
        scanner("fax")

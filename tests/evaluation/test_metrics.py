import math

import pytest
import torch

from inpaint.evaluation.metrics import colour_cast, hole_area, measure, seam_ratio, sharpness_ratio


def centre_hole(side: int = 64) -> torch.Tensor:
    mask = torch.zeros(1, side, side)
    mask[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    return mask


def noise(side: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


def test_known_errors() -> None:
    mask = centre_hole()
    truth = torch.full((3, 64, 64), 0.5)
    result = measure(truth + 0.1 * mask, truth, mask)  # the hole is a quarter of the picture
    assert list(result) == ["hole", "whole"]
    assert list(result["hole"]) == list(result["whole"]) == ["l1", "l2", "psnr", "ssim"]
    assert result["hole"]["l1"] == pytest.approx(10, rel=1e-4)
    assert result["hole"]["l2"] == pytest.approx(1, rel=1e-4)
    assert result["hole"]["psnr"] == pytest.approx(20, rel=1e-4)
    assert result["whole"]["l1"] == pytest.approx(2.5, rel=1e-4)
    assert result["whole"]["l2"] == pytest.approx(0.25, rel=1e-4)
    assert result["whole"]["psnr"] == pytest.approx(-10 * math.log10(0.0025), rel=1e-4)


def test_ssim_of_two_flat_pictures_is_the_luminance_term() -> None:
    truth = torch.full((3, 64, 64), 0.5)
    result = measure(truth + 0.1, truth, centre_hole())
    expected = (2 * 0.6 * 0.5 + 1e-4) / (0.6**2 + 0.5**2 + 1e-4)
    assert result["hole"]["ssim"] == pytest.approx(expected, rel=1e-3)
    assert result["whole"]["ssim"] == pytest.approx(expected, rel=1e-3)


def test_ssim_in_the_hole_is_of_the_hole() -> None:
    truth, mask = noise(), centre_hole()
    wrong_inside = measure(truth * (1 - mask) + 0.5 * mask, truth, mask)
    wrong_outside = measure(truth * mask + 0.5 * (1 - mask), truth, mask)
    assert wrong_inside["hole"]["ssim"] < 0.3 < 0.6 < wrong_inside["whole"]["ssim"]
    assert wrong_outside["whole"]["ssim"] < 0.5 < 0.7 < wrong_outside["hole"]["ssim"]


def test_identical_pictures() -> None:
    result = measure(noise(), noise(), centre_hole())
    assert result["hole"] == {"l1": 0, "l2": 0, "psnr": math.inf, "ssim": pytest.approx(1)}


def test_prediction_is_clamped_as_it_is_written() -> None:
    truth = torch.ones(3, 64, 64)
    assert measure(truth + 3, truth, centre_hole())["whole"]["l1"] == 0


def test_area_is_the_share_of_the_picture() -> None:
    assert hole_area(centre_hole()) == hole_area(0.3 * centre_hole()) == 25
    assert hole_area(torch.eye(3)[None]) == 33.3333


def test_any_hole_pixel_counts_as_hole() -> None:
    truth, mask = torch.full((3, 64, 64), 0.5), centre_hole()
    assert measure(truth + 0.1 * mask, truth, 0.3 * mask)["hole"]["l1"] == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize(
    ("prediction", "truth", "mask", "message"),
    [
        (noise(), noise(), torch.zeros(1, 64, 64), "no hole"),
        (noise(), noise(32), centre_hole(), "differ in shape"),
        (noise(), noise(), centre_hole(32), "do not fit"),
    ],
)
def test_what_cannot_be_measured(
    prediction: torch.Tensor, truth: torch.Tensor, mask: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(prediction, truth, mask)


def test_sharpness_of_a_hole_with_half_the_contrast_is_a_half() -> None:
    mask = centre_hole()
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 1.0  # every gradient is the same
    picture = checks.expand(3, 64, 64) * (1 - 0.5 * mask)
    assert sharpness_ratio(checks.expand(3, 64, 64), mask) == pytest.approx(1)
    assert sharpness_ratio(picture, mask) == pytest.approx(0.5)


def test_sharpness_ignores_the_seam_and_what_is_far() -> None:
    mask = centre_hole(128)
    slope = (torch.arange(128) / 128).expand(3, 128, 128)
    assert sharpness_ratio(slope + 5 * mask, mask) == pytest.approx(1, rel=1e-3)  # a step, but no sharper inside
    far = slope.clone()
    far[:, :15] = noise(128)[:, :15]  # more than 16 pixels from the hole, which starts at row 32
    assert sharpness_ratio(far, mask) == pytest.approx(1, rel=1e-3)


def test_seam_is_the_step_at_the_border_over_the_steps_around_it() -> None:
    mask = centre_hole()
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.1
    assert seam_ratio(checks.expand(3, 64, 64), mask) == pytest.approx(1)
    # inside, the hole is 0.3 brighter: across the border, a step is 0.2 or 0.4 by turns
    assert seam_ratio(checks + 0.3 * mask.expand(3, 64, 64), mask) == pytest.approx(3, rel=1e-3)


def test_a_fill_that_repeats_its_border_hides_no_seam() -> None:
    """The hole's outermost pixels go on like the surroundings; one pixel further in it is 0.3 brighter."""
    mask = centre_hole()
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.1
    inner = torch.zeros(64, 64)
    inner[17:47, 17:47] = 0.3
    expected = (30 * 0.3 + 2 * 0.1) / 32 / 0.1  # of a side's 32 steps, those at its ends lie in the outermost pixels
    assert seam_ratio((checks + inner).expand(3, 64, 64), mask) == pytest.approx(expected, rel=1e-3)


def test_a_hole_of_single_pixels_has_only_the_steps_across_its_border() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.1
    mask = torch.zeros(1, 64, 64)
    mask[:, 20, 20] = mask[:, 40, 30] = 1
    picture = (checks + 0.3 * (checks == 0) * mask[0]).expand(3, 64, 64)  # both were dark: steps of 0.2
    assert seam_ratio(picture, mask) == pytest.approx(2, rel=0.02)


def test_seam_ignores_the_inside_and_what_is_far() -> None:
    mask = centre_hole()
    picture = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.1).repeat(3, 1, 1)
    picture[:, :7] = noise()[:, :7]  # more than 8 pixels from the hole, which starts at row 16
    picture[:, 20:40, 20:40] = noise()[:, 20:40, 20:40]
    assert seam_ratio(picture, mask) == pytest.approx(1)


def test_ratios_to_flat_surroundings_are_undefined() -> None:
    mask = centre_hole()
    flat = torch.full((3, 64, 64), 0.5)
    for picture in (flat, flat + noise() * mask):
        assert math.isnan(sharpness_ratio(picture, mask))
        assert math.isnan(seam_ratio(picture, mask))


def test_a_hole_without_surroundings_has_no_ratios() -> None:
    assert math.isnan(sharpness_ratio(noise(), torch.ones(1, 64, 64)))
    assert math.isnan(seam_ratio(noise(), torch.ones(1, 64, 64)))


def test_colour_cast_is_the_distance_of_mean_colours_in_lab() -> None:
    mask = centre_hole()
    grey = torch.full((3, 64, 64), 0.5)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1)  # a* 80.09, b* 67.20 (and greys 0, 0)
    expected = math.hypot(80.09, 67.20)
    assert colour_cast(grey * (1 - mask) + red * mask, grey, mask) == pytest.approx(expected, rel=1e-3)
    upper = mask.clone()
    upper[:, 32:] = 0  # half the hole
    assert colour_cast(grey * (1 - upper) + red * upper, grey, mask) == pytest.approx(expected / 2, rel=1e-3)
    assert colour_cast(grey * mask + red * (1 - mask), grey, mask) == pytest.approx(0, abs=1e-3)
    assert colour_cast(grey + 0.3 * mask, grey, mask) == pytest.approx(0, abs=0.02)  # brighter is no cast

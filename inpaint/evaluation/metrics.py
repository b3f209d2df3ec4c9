"""Measures one filled picture: its errors against the truth, and how well the hole fits its surroundings."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.color import rgb_to_lab
from torch import Tensor
from torchmetrics.functional import mean_absolute_error, mean_squared_error
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

SHARPNESS_RING = 16  # pixels around the hole to which its sharpness is compared
SEAM_RING = 8  # pixels around the hole whose steps are the measure of a seam


def measure(
    prediction: Float[Tensor, "3 height width"],
    truth: Float[Tensor, "3 height width"],
    mask: Float[Tensor, "1 height width"],
) -> dict[str, dict[str, float]]:
    """Measures the errors in the hole and over the whole picture: `{"hole": {l1, l2, psnr, ssim}, "whole": {same}}`.

    Pictures are in [0, 1] and at least 11 pixels high and wide; the prediction is clamped, as it is when it is written.

    - `l1`, `l2`: 100 * mean |d| and 100 * mean d^2, the per cents of Table 1 (Yang et al. 2017);
    - `psnr`: -10 log10(mean d^2), in dB; `inf` where the two agree exactly;
    - `ssim`: Gaussian window with sigma 1.5; in the hole, the mean of the SSIM map over its pixels, whose windows reach
      5 pixels past its border.

    Raises:
        ValueError: the shapes disagree, or the mask holds no hole.
    """
    hole = _hole(prediction, mask)
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
    if not hole.any():
        raise ValueError("the mask holds no hole: there is nothing to measure")
    prediction, truth = prediction.float().clamp(0, 1), truth.float()
    pair = prediction[None], truth[None]
    ssim, ssim_map = structural_similarity_index_measure(*pair, data_range=1.0, return_full_image=True)
    return {
        "hole": _errors(prediction[:, hole], truth[:, hole]) | {"ssim": float(ssim_map[0][:, hole].mean())},
        "whole": _errors(prediction, truth) | {"ssim": float(ssim)},
    }


def hole_area(mask: Float[Tensor, "1 height width"]) -> float:
    """Computes the hole's share of the picture, in percent, to four decimals."""
    return round(100 * int((mask > 0).sum()) / mask.numel(), 4)


def sharpness_ratio(picture: Float[Tensor, "3 height width"], mask: Float[Tensor, "1 height width"]) -> float:
    """Divides the mean gradient magnitude inside the hole by that of the 16-pixel ring around it; 1 is equally sharp.

    The gradient is the forward difference to the right and below, channel by channel; a pixel counts where both lie in
    its own region: a seam is no sharpness. `nan` where the ratio is undefined (no ring, or a flat one).
    """
    hole = _hole(picture, mask)
    picture = picture.float()
    across = picture[:, :-1, 1:] - picture[:, :-1, :-1]
    down = picture[:, 1:, :-1] - picture[:, :-1, :-1]
    magnitude = (across.square() + down.square()).sqrt()

    def mean_inside(region: Bool[Tensor, "height width"]) -> Tensor:
        return magnitude[:, region[:-1, :-1] & region[:-1, 1:] & region[1:, :-1]].mean()

    return _ratio(mean_inside(hole), mean_inside(_ring(hole, SHARPNESS_RING)))


def seam_ratio(picture: Float[Tensor, "3 height width"], mask: Float[Tensor, "1 height width"]) -> float:
    """Divides the larger mean step at the hole's border by the mean step in the 8-pixel ring outside it; 1 is no seam.

    A step is the absolute difference of two neighbours, which share a side. Two means are taken at the border: of the
    steps across it, and of those one pixel further in, so that a fill whose outermost pixels repeat their neighbours
    hides no seam. `nan` where the ratio is undefined (no border inside the picture, or a flat ring).
    """
    hole = _hole(picture, mask)
    ring = _ring(hole, SEAM_RING)
    across, behind, within = [], [], []
    for x, inside, around in ((picture.float(), hole, ring), (picture.float().mT, hole.T, ring.T)):
        step = (x[:, 1:] - x[:, :-1]).abs()
        border = inside[1:] ^ inside[:-1]
        next_to_it = torch.zeros_like(border)
        next_to_it[1:] |= border[:-1]
        next_to_it[:-1] |= border[1:]
        across.append(step[:, border].flatten())
        behind.append(step[:, inside[1:] & inside[:-1] & next_to_it].flatten())
        within.append(step[:, around[1:] & around[:-1]].flatten())
    # a hole of single pixels has no step behind the border: fmax leaves the mean of none out
    return _ratio(torch.fmax(torch.cat(across).mean(), torch.cat(behind).mean()), torch.cat(within).mean())


def colour_cast(
    picture: Float[Tensor, "3 height width"],
    reference: Float[Tensor, "3 height width"],
    mask: Float[Tensor, "1 height width"],
) -> float:
    """Measures how far the hole's mean colour lies from the reference's, lightness aside; about 2.3 is just visible.

    The distance of the two means over the hole in the a*b* plane of CIE L*a*b* (D65). Pictures are in [0, 1].
    """
    hole = _hole(picture, mask)
    shift = (rgb_to_lab(picture.float()) - rgb_to_lab(reference.float()))[1:, hole].mean(1)
    return float(shift.norm())


def _errors(prediction: Tensor, truth: Tensor) -> dict[str, float]:
    prediction, truth = prediction.flatten(), truth.flatten()
    return {
        "l1": 100 * float(mean_absolute_error(prediction, truth)),
        "l2": 100 * float(mean_squared_error(prediction, truth)),
        "psnr": float(peak_signal_noise_ratio(prediction, truth, data_range=1.0)),
    }


def _hole(picture: Tensor, mask: Tensor) -> Bool[Tensor, "height width"]:
    if mask.shape != (1, *picture.shape[-2:]):
        raise ValueError(f"a picture {tuple(picture.shape)} and a mask {tuple(mask.shape)} do not fit together")
    return mask[0] > 0


def _ring(hole: Bool[Tensor, "height width"], width: int) -> Bool[Tensor, "height width"]:
    grown = F.max_pool2d(hole[None].float(), 2 * width + 1, stride=1, padding=width)[0] > 0
    return grown & ~hole


def _ratio(numerator: Tensor, denominator: Tensor) -> float:
    return float(numerator / denominator) if denominator > 0 else float("nan")

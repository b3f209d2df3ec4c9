"""The perceptual distance by the VGG-16 that ships; LPIPS and FID with weights made on the spot.

Their files have the real layout, and random values.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from kornia.filters import gaussian_blur2d
from skimage import data
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.perceptual import (
    EYE_LAYERS,
    discriminative_scores,
    frechet_distance,
    load_inception,
    load_lpips,
    perceptual_distance,
)
from inpaint.imaging.pixels import composite
from inpaint.vgg import VGG, load_vgg


def noise(seed: int, side: int = 64) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def vgg() -> VGG:
    return load_vgg()


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """192 x 192 pixels of a photograph."""
    return torch.from_numpy(data.astronaut()[:192, 128:320].copy()).permute(2, 0, 1) / 255


def hole(side: int = 192, low: int = 64, high: int = 128) -> Tensor:
    mask = torch.zeros(1, side, side)
    mask[:, low:high, low:high] = 1
    return mask


def test_what_equals_the_truth_is_at_no_distance(vgg: VGG, photograph: Tensor) -> None:
    assert perceptual_distance(photograph, photograph, hole(), vgg) == 0
    assert perceptual_distance(noise(0, 192), photograph, hole(), vgg) > 1


def test_distance_is_the_mean_over_the_hole_of_the_features_of_the_whole_picture(vgg: VGG, photograph: Tensor) -> None:
    """A crop with what the hole's cells see gives what all of the picture does."""
    mask = hole(low=70, high=121)
    filled = composite(photograph, noise(0, 192), mask)
    expected = 0.0
    for layer, phi in vgg(torch.stack([filled, photograph]), EYE_LAYERS).items():
        a, b = phi / phi.norm(dim=1, keepdim=True)
        cells = slice(70 // vgg.strides[layer], -(-121 // vgg.strides[layer]))
        expected += float((a - b).square().sum(0)[cells, cells].mean())
    assert perceptual_distance(filled, photograph, mask, vgg) == pytest.approx(expected, rel=1e-4)


def test_distance_grows_with_blur_tint_and_seam(vgg: VGG, photograph: Tensor) -> None:
    mask, tint = hole(), torch.tensor([0, -1.0, 1.0]).view(3, 1, 1)

    def distances(*changed: Tensor) -> list[float]:
        return [perceptual_distance(composite(photograph, x, mask), photograph, mask, vgg) for x in changed]

    blurred = [gaussian_blur2d(photograph[None], (25, 25), (sigma, sigma))[0] for sigma in (1.0, 2.0, 4.0)]
    tinted, brighter = ([photograph + change * x for x in (0.03, 0.06, 0.12)] for change in (tint, torch.ones(3, 1, 1)))
    for changed in (blurred, tinted, brighter):
        found = distances(*changed)
        assert found == sorted(found)
        assert found[0] > 0.001


def test_distance_prefers_detail_in_the_wrong_place_to_none(vgg: VGG, photograph: Tensor) -> None:
    """PSNR does not."""
    mask = hole()
    moved = composite(photograph, photograph.roll((0, 4), (1, 2)), mask)
    flat = composite(photograph, F.avg_pool2d(F.pad(photograph, (8, 8, 8, 8), mode="replicate"), 17, stride=1), mask)
    assert (moved - photograph).square().mean() > (flat - photograph).square().mean()
    moved_by, flat_by = (perceptual_distance(x, photograph, mask, vgg) for x in (moved, flat))
    assert moved_by < flat_by


def test_distance_minds_neither_what_is_far_nor_what_is_written_as_the_same(vgg: VGG, photograph: Tensor) -> None:
    mask = hole()
    filled = composite(photograph, noise(0, 192) * 1.5 - 0.2, mask)
    far = filled.clone()
    far[:, :24], far[..., -24:] = 0, 1  # 40 pixels from the hole
    found = perceptual_distance(filled, photograph, mask, vgg)
    assert perceptual_distance(far, photograph, mask, vgg) == found
    assert perceptual_distance(filled.clamp(0, 1), photograph, mask, vgg) == found


def test_distance_of_a_hole_at_the_edge_of_a_picture_of_odd_sides(vgg: VGG, photograph: Tensor) -> None:
    """No cell of the deepest layer lies wholly in the picture where the hole is."""
    truth = photograph[:, :61, :45]
    mask = torch.zeros_like(truth[:1])
    mask[:, 57:, 41:] = 1
    assert perceptual_distance(truth + 0.3 * mask, truth, mask, vgg) > 0.01
    assert perceptual_distance(truth, truth, mask, vgg) == 0


@pytest.mark.parametrize(
    ("network", "layers", "seen"),
    [("alex", torchvision.models.alexnet, (1, 4, 7, 9, 11)), ("vgg", torchvision.models.vgg16, (3, 8, 15, 22, 29))],
)
def test_lpips_is_the_linear_layers_sum_over_the_backbone_s_layers(
    network: str, layers: Callable[..., Any], seen: tuple[int, ...], alexnet: Path, vgg16: Path
) -> None:
    lpips = pytest.importorskip("lpips")
    a, b, path = noise(0), noise(1), alexnet if network == "alex" else vgg16
    measure = load_lpips(path, network)
    found = measure(a, b)
    assert measure(a, a) == 0

    # the formula of section 3 (Zhang et al. 2018), on torchvision's own network
    net = layers(num_classes=1).features
    net.load_state_dict({k.removeprefix("features."): v for k, v in torch.load(path).items()})
    linear = torch.load(Path(lpips.__file__).parent / f"weights/v0.1/{network}.pth", map_location="cpu")
    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[:, :, None, None]
    expected, x, y = 0.0, (2 * a - 1 - shift) / scale, (2 * b - 1 - shift) / scale
    with torch.no_grad():
        for i, layer in enumerate(net):
            x, y = layer(x), layer(y)
            if i in seen:
                u, v = (z / z.norm(dim=0, keepdim=True) for z in (x, y))
                weights = linear[f"lin{seen.index(i)}.model.1.weight"][0]
                expected += float((weights * (u - v).square()).sum(0).mean())
    assert found == pytest.approx(expected, rel=1e-3)


def test_lpips_clamps_as_a_written_file_does(alexnet: Path) -> None:
    measure = load_lpips(alexnet)
    assert measure(noise(0) * 3, noise(1)) == measure((noise(0) * 3).clamp(0, 1), noise(1))


def test_inception_s_features(inception: Path) -> None:
    features = load_inception(inception)
    found = features(noise(0, 48))
    assert found.shape == (2048,)
    assert torch.equal(found, features(noise(0, 48)))
    assert not torch.equal(found, features(noise(1, 48)))


def test_frechet_distance_of_known_distributions() -> None:
    a = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4)  # only the means differ
    variance = float(a.var(0).sum())
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * variance)  # tr(A + 9 A - 2 * 3 A)


def test_frechet_distance_is_that_of_the_textbook_formula() -> None:
    a, b = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)).double() * (n / 20) for n in (30, 40))
    roots = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).sqrt().real.sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + a.var(0).sum() + b.var(0).sum() - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(float(expected))
    few = frechet_distance(a[:4], b[:3])  # singular covariances
    assert math.isfinite(few)
    assert few > 0


def test_one_picture_has_no_distribution() -> None:
    assert math.isnan(frechet_distance(torch.zeros(1, 4), torch.zeros(2, 4)))


def test_scores_of_pictures_that_nobody_can_tell_apart_are_a_half() -> None:
    x, y = torch.randn(2, 2000, 4, generator=torch.Generator().manual_seed(0))
    assert discriminative_scores(x, y) == pytest.approx((50, 50), abs=3)
    assert discriminative_scores(x, x)[0] == 0  # what is equal is not truer


def test_scores_of_pictures_that_a_line_parts_are_nought() -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    assert discriminative_scores(x + 20, x) == (0, 0)


def test_scores_of_known_features() -> None:
    """One feature, 0 for the false and 1 for the true, but for the first four pairs of ten: they have it the other way.

    A line between 0 and 1 gets these eight of the twenty pictures wrong, and these four pairs.
    """
    true = torch.tensor([0.0] * 4 + [1.0] * 6)[:, None]
    assert discriminative_scores(1 - true, true) == pytest.approx((40, 40))


def test_one_picture_has_no_scores() -> None:
    assert all(map(math.isnan, discriminative_scores(torch.zeros(1, 4), torch.ones(1, 4))))


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("executed",)


def load_lpips_vgg(path: str) -> object:
    return load_lpips(path, "vgg")


@pytest.mark.parametrize(
    ("load", "key"),
    [(load_lpips, "lpips_weights"), (load_lpips_vgg, "lpips_vgg_weights"), (load_inception, "fid_weights")],
)
@pytest.mark.parametrize("content", [None, b"no checkpoint", {"other": torch.zeros(1)}, [1], Evil()])
def test_a_wrong_file_is_named_and_runs_nothing(
    load: object, key: str, content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lpips")
    pytest.importorskip("torch_fidelity")
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=rf"weights\.pth.*{key}"):
        load(path)  # type: ignore[operator]
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("load", "module", "package"),
    [
        (load_lpips, "lpips", "lpips"),
        (load_inception, "torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity"),
        (load_inception, "sklearn.svm", "scikit-learn"),
    ],
)
def test_a_missing_package_names_its_extra(
    load: object, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    sentence = rf"_weights needs the package {package}, .*neural-patch-synthesis\[perceptual\]"
    with pytest.raises(UserError, match=sentence):
        load("weights.pth")  # type: ignore[operator]

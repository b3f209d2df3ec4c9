"""LPIPS and FID with weights made on the spot: the files' layout is the real one, their values are random."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from inpaint.errors import UserError
from inpaint.evaluation.perceptual import frechet_distance, load_inception, load_lpips


def noise(seed: int, side: int = 64) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))


def test_lpips_is_the_linear_layers_sum_over_the_backbone_s_layers(alexnet: Path) -> None:
    lpips = pytest.importorskip("lpips")
    a, b = noise(0), noise(1)
    found = load_lpips(alexnet)(a, b)
    assert load_lpips(alexnet)(a, a) == 0

    # the formula of section 3 (Zhang et al. 2018), on torchvision's own network
    net = torchvision.models.alexnet(num_classes=1).features
    net.load_state_dict({k.removeprefix("features."): v for k, v in torch.load(alexnet).items()})
    linear = torch.load(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu")
    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[:, :, None, None]
    expected, x, y = 0.0, (2 * a - 1 - shift) / scale, (2 * b - 1 - shift) / scale
    with torch.no_grad():
        for i, layer in enumerate(net):
            x, y = layer(x), layer(y)
            if i in (1, 4, 7, 9, 11):
                u, v = (z / z.norm(dim=0, keepdim=True) for z in (x, y))
                weights = linear[f"lin{(1, 4, 7, 9, 11).index(i)}.model.1.weight"][0]
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


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("executed",)


@pytest.mark.parametrize(("load", "key"), [(load_lpips, "lpips_weights"), (load_inception, "fid_weights")])
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
    ("load", "package"), [(load_lpips, "lpips"), (load_inception, "torch_fidelity.feature_extractor_inceptionv3")]
)
def test_a_missing_package_names_its_extra(load: object, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"neural-patch-synthesis\[perceptual\]"):
        load("weights.pth")  # type: ignore[operator]

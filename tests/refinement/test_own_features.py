"""Features by a module of one's own, and VGG's where they are taken as such."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import resize
from inpaint.refinement.features import HoleFeatures, WholeFeatures, check_features, near_hole
from inpaint.refinement.pyramid import refine
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint
from tests.refinement.test_pyramid import flat_prediction, gravel, hole


class Filters(nn.Module):
    """Edges and brightness in cells of any width: convolutions with fixed random weights, their squares pooled."""

    def __init__(self, strides):
        super().__init__()
        self.name, self.strides, self.weight_files = "random filters", strides, {}
        filters = torch.randn(24, 3, 5, 5, generator=torch.Generator().manual_seed(0))
        self.register_buffer("filters", filters - filters.mean((1, 2, 3), keepdim=True))

    def on(self, device, precision="auto"):
        return self.to(device)

    def forward(self, picture, layers):
        edges = F.conv2d(F.pad(picture, (2, 2, 2, 2), mode="replicate"), self.filters).abs()
        found = torch.cat([edges, picture], 1)
        return {layer: F.avg_pool2d(found, self.strides[layer]) for layer in layers}


class Wrapped(nn.Module):
    """VGG as a module that says nothing of its steps."""

    def __init__(self, vgg):
        super().__init__()
        self.vgg, self.name, self.strides, self.weight_files = vgg, "wrapped", vgg.strides, vgg.weight_files

    def on(self, device, precision="auto"):
        self.vgg.on(device, precision)
        return self

    def forward(self, picture, layers):
        return self.vgg(picture, layers)


OWN = {"layers": ("fine", "coarse"), "voting_layer": "fine"}


def test_vgg_taken_as_a_whole_gives_the_same_fill(vgg):
    """Step by step near the hole, or the whole picture each time: the same to rounding."""
    picture, mask = gravel(), hole()
    chosen = preset(scales=2, rounds=1, iterations=2)
    fills = [
        refine(picture, mask, flat_prediction(picture, mask), phi, chosen) for phi in (vgg, Wrapped(vgg).on("cpu"))
    ]
    (near, near_reports), (whole, whole_reports) = fills
    assert (near - whole).abs().max() < 1e-3
    for one, other in zip(near_reports, whole_reports, strict=True):
        assert one.after.values() == pytest.approx(other.after.values(), rel=1e-4)


def test_only_what_has_steps_is_computed_in_steps(vgg):
    picture, box = gravel(), Box(52, 52, 76, 76)
    wanted = {"relu3_1": Box(12, 12, 20, 20)}
    stepwise, whole = (near_hole(phi, picture, box, wanted) for phi in (vgg, Wrapped(vgg)))
    assert isinstance(stepwise, HoleFeatures)
    assert isinstance(whole, WholeFeatures)
    assert torch.equal(stepwise.whole["relu3_1"], whole.whole["relu3_1"])
    other = torch.rand(3, 24, 24).requires_grad_()
    gradients = [torch.autograd.grad(phi(other)["relu3_1"].square().sum(), other)[0] for phi in (stepwise, whole)]
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()


@pytest.mark.parametrize("strides", [{"fine": 4, "coarse": 8}, {"fine": 3, "coarse": 6}, {"fine": 5, "coarse": 7}])
@pytest.mark.parametrize("size", [(128, 128), (131, 150)])
def test_a_module_of_ones_own_fills_a_hole(strides, size):
    """Also with strides that are no powers of two, in a picture that they do not divide; texture comes back."""
    picture, mask = gravel(*size), hole(*size)
    grey = flat_prediction(picture, mask)
    chosen = preset(scales=2, iterations=3, **OWN)
    filled, reports = refine(picture, mask, grey, Filters(strides), chosen)
    assert filled.isfinite().all()
    assert torch.equal(filled * (1 - mask), picture * (1 - mask))
    for report in reports:
        assert report.after.total(chosen) < report.before.total(chosen)
    edges, truth = ((x[..., 1:] - x[..., :-1]).abs()[..., 54:74, 54:74].mean() for x in (filled, picture))
    assert 0.5 * truth < edges < 1.5 * truth


def test_both_stages_and_detail_by_a_module_of_ones_own():
    """Voted at the first scale, with detail at the second, no gradient."""
    picture, mask = gravel(256, 256), hole(256, 256, 110, 100, 50)
    chosen = preset("instant", layers=("fine",), voting_layer="fine", voting_scales=1)
    filled = inpaint(picture, mask, lambda *_: resize(picture, (16, 16)), Filters({"fine": 4}), chosen)
    assert [report.size for report in filled.scales] == [(128, 128), (256, 256)]
    assert not torch.equal(filled.refined, filled.content)


@pytest.mark.parametrize("stride", [0, 33, 2.0, "4"])
def test_a_stride_that_is_none(stride):
    with pytest.raises(
        UserError, match=rf"stride of layer 'fine' .* random filters is {stride!r}, but has to be a whole"
    ):
        check_features(Filters({"fine": stride}), ["fine"])


def test_what_is_no_features():
    with pytest.raises(UserError, match="are of type Linear, which lacks name, strides, weight_files, on"):
        check_features(nn.Linear(1, 1), ["fine"])
    with pytest.raises(UserError, match=r"no layer 'relu3_1' in the features of random filters: .* among fine"):
        inpaint(gravel(), hole(), lambda picture, mask: picture, Filters({"fine": 4}), preset())


def scale_by(forward):
    class Broken(Filters):
        def forward(self, picture, layers):
            return forward(super().forward(picture, layers))

    picture, mask = gravel(96, 130), hole(96, 130, 40, 40, 20)
    return Scale(Broken({"fine": 4}), picture, mask, picture, preset(layers=("fine",), voting_scales=0))


@pytest.mark.parametrize(
    ("forward", "sentence"),
    [
        (
            lambda maps: {},
            r"of 96 x 130 pixels .* layer 'fine' are missing: .* they have to be \[1, channels, 24, 32\]",
        ),
        (lambda maps: {"fine": F.pad(maps["fine"], (0, 1))}, r"layer 'fine' are \[1, 27, 24, 33\]: with a stride of 4"),
        (lambda maps: {"fine": maps["fine"][0]}, r"layer 'fine' are \[27, 24, 32\]"),
        (lambda maps: {"fine": maps["fine"] / 0}, "random filters at layer 'fine' are not finite"),
    ],
)
def test_maps_that_are_not_what_the_strides_say(forward, sentence):
    with pytest.raises(UserError, match=sentence):
        scale_by(forward)


def test_cells_too_wide_for_a_patch():
    """A scale without three by three cells is refused where it is asked for, and left out where it is not."""
    picture, mask = gravel(160, 160), hole(160, 160, 4, 4, 8)
    wide, wanted = Filters({"fine": 27}), {"layers": ("fine",), "voting_layer": "fine", "iterations": 1}
    with pytest.raises(UserError, match=r"no patch to learn from .* 80 x 80 pixels: .* square of 81 x 81"):
        refine(picture, mask, picture, wide, preset(scales=2, **wanted))
    for chosen in (preset(scales=1, **wanted), preset(**wanted)):
        filled = inpaint(picture, mask, lambda picture, mask: picture, wide, chosen)
        assert [report.size for report in filled.scales] == [(128, 128)]  # its surroundings
        assert filled.refined.isfinite().all()

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from inpaint.errors import UserError
from inpaint.refinement.features import VGG, Box, HoleFeatures, load_vgg

LAYERS = ("relu3_1", "relu4_1")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tiny_weights(architecture: str = "vgg19", upto: int = 9) -> dict[str, torch.Tensor]:
    """Random weights with the true shapes, as a downloaded file would hold them."""
    torch.manual_seed(0)
    blocks = {"vgg16": (2, 2, 3), "vgg19": (2, 2, 4)}[architecture]
    weights, index, channels = {}, 0, 3
    for block, convolutions in enumerate(blocks):
        for _ in range(convolutions):
            if len(weights) // 2 < upto:
                width = 64 * 2**block
                weights[f"features.{index}.weight"] = torch.randn(width, channels, 3, 3) * 0.05
                weights[f"features.{index}.bias"] = torch.randn(width) * 0.05
            index, channels = index + 2, 64 * 2**block
        index += 1
    return weights


@settings(max_examples=25, deadline=None)
@example(height=51, width=24, corner=(0.171875, 0.3125), side=(5, 1))
@given(
    height=st.integers(24, 61),
    width=st.integers(24, 61),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    side=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_features_near_a_hole_are_those_of_the_whole_picture(vgg, height, width, corner, side):
    """Any box, also at the picture's border, in sizes that no stride divides; exactly, with the gradient.

    In double precision: in single, rounding turns a ReLU or a maximum now and then, and the gradient jumps there.
    """
    vgg = copy.deepcopy(vgg).double()
    vgg.dtype = torch.float64
    torch.manual_seed(height * width)
    top, left = int(corner[0] * (height - 1)), int(corner[1] * (width - 1))
    hole = Box(top, left, min(top + side[0], height), min(left + side[1], width))
    wanted = {}
    for layer in LAYERS:
        size = (height // vgg.strides[layer], width // vgg.strides[layer])
        wanted[layer] = hole.pooled(size, vgg.strides[layer]).grown(1, size)
    near = HoleFeatures(vgg, torch.rand(1, 3, height, width, dtype=torch.float64), hole, wanted)

    other = torch.rand(1, 3, *hole.size, dtype=torch.float64).requires_grad_()
    # the surroundings stay those of the picture given first
    features = near(other)
    torch.manual_seed(height * width)
    whole = torch.rand(1, 3, height, width, dtype=torch.float64)
    hole.of(whole).copy_(other.detach())
    whole.requires_grad_()
    expected = vgg(whole, LAYERS)
    for layer in LAYERS:
        difference = (features[layer] - wanted[layer].of(expected[layer])).abs().max()
        assert difference <= 1e-10 * expected[layer].abs().max()
    sum(f.sum() for f in features.values()).backward()
    sum(wanted[layer].of(expected[layer]).sum() for layer in LAYERS).backward()
    theirs = hole.of(whole.grad)
    assert (other.grad - theirs).norm() <= 1e-10 * theirs.norm() + 1e-6


def test_features_are_torchvisions():
    """The layer names, strides and normalisation are those of torchvision's own VGG."""
    from torchvision.models import vgg19

    torch.manual_seed(0)
    reference = vgg19(weights=None).eval()
    x = torch.rand(2, 3, 40, 56)
    mine = VGG(reference.state_dict(), "vgg19", *IMAGENET)(x, ["relu1_1", "relu3_1", "relu4_1", "relu5_2"])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in IMAGENET)
    h = (x - mean) / std
    for name, last in (("relu1_1", 1), ("relu3_1", 11), ("relu4_1", 20), ("relu5_2", 31)):
        expected = reference.features[: last + 1](h)
        torch.testing.assert_close(mine[name], expected, rtol=1e-4, atol=1e-5)


def test_weights_from_a_file(tmp_path):
    state = tiny_weights()
    torch.save(state, tmp_path / "vgg19.pth")
    save_file(state, tmp_path / "vgg19.safetensors")
    x = torch.rand(1, 3, 16, 16)
    for name in ("vgg19.pth", "vgg19.safetensors"):
        loaded = load_vgg(tmp_path / name)
        expected = VGG(state, "vgg19", *IMAGENET)
        assert torch.equal(loaded(x, ["relu3_1"])["relu3_1"], expected(x, ["relu3_1"])["relu3_1"])


def test_weights_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match=r"no VGG-19 weights at .*missing\.pth"):
        load_vgg(tmp_path / "missing.pth")
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"noise\.pth cannot be read as weights"):
        load_vgg(tmp_path / "noise.pth")
    other = tiny_weights()
    other["features.2.weight"] = torch.zeros(64, 64, 5, 5)
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"not those of vgg19: features\.2\.weight has the shape \(64, 64, 5, 5\)"):
        load_vgg(tmp_path / "other.pth")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"hold no features\.0\.weight"):
        load_vgg(tmp_path / "none.pth")
    with pytest.raises(UserError, match="no VGG 'vgg11'"):
        VGG({}, "vgg11", (0, 0, 0))


def test_layer_or_precision_that_does_not_exist(vgg):
    with pytest.raises(UserError, match=r"no layer 'relu9_1'.*relu4_2"):
        vgg.steps(["relu9_1"])
    with pytest.raises(UserError, match="no precision 'float8'"):
        vgg.on("cpu", "float8")


def test_download_that_fails_says_what_to_do(monkeypatch):
    from torchvision.models import VGG19_Weights

    def fail(self, **_):
        raise OSError("no route to host")

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", fail)
    with pytest.raises(UserError, match=r"no route to host.*weights=embedded"):
        load_vgg("vgg19")

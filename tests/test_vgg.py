import pytest
import torch
from safetensors.torch import save_file

from inpaint.errors import UserError
from inpaint.vgg import VGG, load_vgg

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
        assert (loaded.name, load_vgg().name) == ("VGG-19", "VGG-16")
        assert torch.equal(loaded(x, ["relu3_1"])["relu3_1"], expected(x, ["relu3_1"])["relu3_1"])


def test_weights_that_cannot_be_used(tmp_path):
    with pytest.raises(UserError, match=r"no VGG-19 weights at .*missing\.pth"):
        load_vgg(tmp_path / "missing.pth")
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"noise\.pth cannot be read as a checkpoint of tensors: it is damaged"):
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


def test_layer_or_precision_that_does_not_exist():
    vgg = load_vgg()
    with pytest.raises(UserError, match=r"no layer 'relu9_1'.*relu4_2"):
        vgg.steps(["relu9_1"])
    with pytest.raises(UserError, match="no precision 'float8'"):
        vgg.on("cpu", "float8")


def test_download_that_fails_says_what_to_do(monkeypatch):
    from torchvision.models import VGG19_Weights

    def fail(self, **_):
        raise OSError("no route to host")

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", fail)
    with pytest.raises(
        UserError, match=r"no route to host.*model\.features\.weights=PATH, or use model/features=vgg16"
    ):
        load_vgg("vgg19")

import pytest
import torch
from torch import nn

from inpaint.content.layers import ChannelWise, DenseConv2d, DenseConvTranspose2d, FeatureFusion
from inpaint.content.networks import VGG_BATCH, ContextEncoder, Discriminator
from inpaint.errors import UserError
from inpaint.imaging.pixels import middle
from inpaint.imaging.smooth import diffuse
from inpaint.vgg import EMBEDDED, VGG, load_vgg
from tests.content.helpers import PAPER, tiny_discriminator, tiny_generator


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def hole(batch: int) -> torch.Tensor:
    mask = torch.zeros(batch, 1, 128, 128)
    mask[..., 36:92, 36:92] = 1
    return mask


@pytest.mark.parametrize("middle", ["fully_connected", "channel_wise"])
def test_predicts_the_middle_as_pictures(middle):
    prediction = tiny_generator(middle=middle)(torch.rand(2, 3, 128, 128), hole(2))
    assert prediction.shape == (2, 3, 64, 64)
    assert prediction.min() >= 0
    assert prediction.max() <= 1


@pytest.mark.parametrize("middle", ["fully_connected", "channel_wise"])
def test_every_output_sees_the_whole_picture(middle):
    network = tiny_generator(middle=middle).eval()
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(picture, hole(1))[0, :, 0, 0].sum().backward()
    seen = picture.grad.abs().amax((0, 1))
    assert seen[-8:, -8:].max() > 0
    assert seen[:8, -8:].max() > 0


def test_a_residual_network_changes_only_the_hole_and_starts_from_diffusion():
    network = tiny_generator(residual=True).eval()
    picture, mask = torch.rand(2, 3, 128, 128), hole(2)
    with torch.no_grad():
        prediction = network(picture, mask)
        assert torch.equal(prediction[middle(1 - mask).expand_as(prediction) > 0], known(picture, mask))
        network.decoder[-1][0].weight.zero_()  # nothing is added
        rim = (..., slice(28, 100), slice(28, 100))
        smooth = diffuse(picture[rim], mask[rim])[..., 4:-4, 4:-4]
        torch.testing.assert_close(network(picture, mask), smooth)


def known(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return middle(picture)[middle(1 - mask).expand(-1, 3, -1, -1) > 0]


@pytest.mark.parametrize(("across", "down"), [(32, 32), (4, 60)])
def test_a_residual_network_knows_holes_of_any_shape(across, down):
    """The same colours, another hole: another prediction."""
    network = tiny_generator(residual=True).eval()
    grey, mask = torch.full((1, 3, 128, 128), 0.5), torch.zeros(1, 1, 128, 128)
    mask[..., 64 - down // 2 : 64 + down // 2, 64 - across // 2 : 64 + across // 2] = 1
    inside = middle(mask).expand(1, 3, 64, 64) > 0
    assert (network(grey, mask) - network(grey, hole(1))).abs()[inside].max() > 0


def perceptual() -> ContextEncoder:
    return tiny_generator(residual=True, perceptual=True).eval()


def test_a_perceptual_network_starts_as_the_residual_one():
    network, plain = perceptual(), tiny_generator(residual=True).eval()
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    assert missing
    assert all(name.startswith("joins.") for name in missing)
    assert not unexpected
    picture, mask = torch.rand(2, 3, 128, 128), hole(2)
    with torch.no_grad():
        assert torch.equal(network(picture, mask), plain(picture, mask))
        network.joins["2"].add.weight.normal_()
        assert not torch.equal(network(picture, mask), plain(picture, mask))


def test_a_perceptual_network_sees_vgg_s_features_of_the_smooth_filling(monkeypatch):
    network, shown = perceptual(), []
    picture = torch.rand(VGG_BATCH + 1, 3, 128, 128)
    vgg_features = network.vgg_features
    monkeypatch.setattr(network, "vgg_features", lambda x: shown.append(x) or vgg_features(x))
    with torch.no_grad():
        network(picture, hole(VGG_BATCH + 1))
    rim = (..., slice(28, 100), slice(28, 100))
    smooth = picture.clone()
    smooth[rim] = diffuse(picture[rim], hole(VGG_BATCH + 1)[rim])
    torch.testing.assert_close(shown[0], smooth)
    expected = load_vgg().on("cpu")(smooth, ["relu3_1", "relu4_2"])
    for i, name in ((1, "relu3_1"), (2, "relu4_2")):
        torch.testing.assert_close(vgg_features(shown[0])[i], expected[name], atol=0.05, rtol=0.05)


def test_vgg_is_no_part_of_a_perceptual_network():
    network, plain = perceptual(), tiny_generator(residual=True)
    assert not any(isinstance(module, VGG) for module in network.modules())
    own = {name for name in network.state_dict() if not name.startswith("joins.")}
    assert own == plain.state_dict().keys()
    assert network.weight_files == {"content_vgg": EMBEDDED}
    joins = 4 * 256 + 4 * 8 + 2 * 4 + 8 * 512 + 8 * 16 + 2 * 8
    assert size(network) == size(plain) + joins


def test_what_vgg_sees_joins_in_any_precision():
    join = FeatureFusion(channels=4, vgg_channels=6, activation="elu").eval()
    features, phi = torch.rand(1, 4, 8, 8), torch.rand(1, 6, 8, 8)
    expected = features + join.add(torch.cat([features, join.look(phi)], 1))
    torch.testing.assert_close(join(features, phi.bfloat16()), expected, atol=0.01, rtol=0)


def test_a_perceptual_network_learns_what_to_look_for():
    network, picture = perceptual().train(), torch.rand(2, 3, 128, 128)
    for _ in range(2):  # in the first step only `add` sees a gradient, for it is still zero
        network.zero_grad()
        network(picture, hole(2)).square().mean().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= parameter.grad
    assert all(parameter.grad.abs().max() > 0 for parameter in network.joins.parameters())


def test_a_perceptual_network_has_to_be_residual():
    with pytest.raises(UserError, match=r"perceptual generator looks at a smooth filling: set residual=true"):
        tiny_generator(perceptual=True)


def test_paper_and_small_sizes():
    convolutions = 3 * 64 + 64 * 64 + 64 * 128 + 128 * 256 + 256 * 512  # the decoder has all but the 64 x 64
    weights = 16 * (2 * convolutions - 64 * 64 + 2 * 512 * 4000)
    normalisation = 2 * (64 + 128 + 256 + 512 + 4000 + 512 + 256 + 128 + 64)
    with torch.device("meta"):
        assert size(tiny_generator(filters=64, bottleneck=4000)) == weights + normalisation
        assert round(size(tiny_generator(filters=32, bottleneck=1024)) / 1e6, 1) == 9.8
    shipped = tiny_generator(filters=32, bottleneck=680, residual=True, perceptual=True)
    assert sum(2 * tensor.numel() for tensor in shipped.state_dict().values()) < 15e6  # bytes, in float16


def test_the_paper_changes_every_activation_to_elu():
    layers = [*tiny_generator().modules(), *tiny_discriminator().modules()]
    assert sum(isinstance(layer, nn.ELU) for layer in layers) == 5 + 2 + 3 + 4
    assert not any(isinstance(layer, nn.ReLU | nn.LeakyReLU) for layer in layers)


def test_the_original_activations_are_possible():
    network = tiny_generator(encoder_activation="leaky_relu", decoder_activation="relu")
    kinds = [type(layer) for layer in network.modules()]
    assert kinds.count(nn.LeakyReLU) == 5 + 1
    assert kinds.count(nn.ReLU) == 1 + 3
    assert nn.ELU not in kinds
    assert {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_an_unknown_middle_is_refused():
    with pytest.raises(UserError, match="'convolutional': it must be 'fully_connected' or 'channel_wise'"):
        tiny_generator(middle="convolutional")


@pytest.mark.parametrize("name", ["gelu", "ELU", "os.mkdir", ["elu"], None])
def test_an_unknown_activation_is_refused(name):
    for make in (
        lambda: tiny_generator(encoder_activation=name),
        lambda: tiny_generator(decoder_activation=name),
        lambda: tiny_discriminator(name),
    ):
        with pytest.raises(UserError, match=r"There is no activation .*: choose elu, relu, leaky_relu\."):
            make()


def test_a_layer_of_no_width_is_refused():
    for make, sentence in (
        (lambda: tiny_generator(filters=0), "generator has a layer of width 0"),
        (lambda: tiny_generator(bottleneck=-1), "generator has a layer of width -1"),
        (lambda: Discriminator(filters=0, activation="elu"), "discriminator has a layer of width 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            make()


@pytest.mark.parametrize("changes", [{}, {"middle": "channel_wise", "decoder_activation": "relu", "residual": True}])
def test_a_network_says_what_it_was_built_from(changes):
    network = tiny_generator(**changes)
    assert network.architecture == {"class": "ContextEncoder"} | PAPER | changes
    assert tiny_discriminator("relu").architecture == {"class": "Discriminator", "filters": 4, "activation": "relu"}


def test_channel_wise_mixes_pixels_but_not_channels():
    layer = ChannelWise(channels=2, side=2)
    features = torch.rand(1, 2, 2, 2)
    expected = [layer.weight[c] @ features[0, c].flatten() for c in range(2)]
    torch.testing.assert_close(layer(features), torch.stack(expected).view(1, 2, 2, 2))


def test_discriminator_gives_one_logit_a_picture():
    logits = tiny_discriminator()(torch.rand(3, 3, 64, 64))
    assert logits.shape == (3,)


def test_networks_start_as_dcgan():
    network = tiny_generator(filters=16, bottleneck=64)
    assert network.middle[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert network.middle[1].weight.mean().item() == pytest.approx(1, abs=0.02)
    assert all("bias" not in name or parameter.eq(0).all() for name, parameter in network.named_parameters())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "side"), [(DenseConv2d, 4), (DenseConvTranspose2d, 1)])
def test_a_fully_connected_layer_is_the_convolution_that_it_stands_for(kind, side, memory_format):
    layer = kind(6, 10, 4, bias=False).to(memory_format=memory_format)
    x = torch.randn(3, 6, side, side).to(memory_format=memory_format)
    plain = nn.Conv2d.forward if kind is DenseConv2d else nn.ConvTranspose2d.forward
    results = []
    for forward in (kind.forward, plain):
        inputs = x.clone().requires_grad_()
        out = forward(layer, inputs)
        results.append((out, *torch.autograd.grad(out.square().sum(), [inputs, layer.weight])))
    for own, expected in zip(*results, strict=True):
        assert own.shape == expected.shape
        torch.testing.assert_close(own, expected)


@pytest.mark.parametrize(("residual", "perceptual"), [(False, False), (True, False), (True, True)])
def test_predictions_in_mixed_precision_are_finer_than_bfloat16(residual, perceptual):
    network = tiny_generator(residual=residual, perceptual=perceptual)
    for join in network.joins.values():
        nn.init.normal_(join.add.weight)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        prediction = network(torch.rand(2, 3, 128, 128), hole(2))
    assert prediction.dtype == torch.float32
    assert not torch.equal(prediction, prediction.bfloat16().float())

import math

import pytest
import torch
import torch.nn.functional as F

from inpaint.content.losses import (
    PerceptualLoss,
    fake_loss,
    further_losses,
    hole_errors,
    real_loss,
    reconstruction,
)
from inpaint.errors import UserError


def test_reconstruction_is_the_mean_square_on_minus_one_to_one():
    truth = torch.zeros(2, 3, 4, 4)
    assert reconstruction(truth + 0.5, truth, torch.zeros(2, 1, 4, 4), ring_weight=10).item() == pytest.approx(1.0)


def test_known_pixels_weigh_more_and_the_mean_is_over_all():
    truth = torch.zeros(1, 3, 2, 2)
    known = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert reconstruction(truth + 0.5, truth, known, ring_weight=10).item() == pytest.approx((10 + 3) / 4)
    assert reconstruction(truth + 0.5, truth, known, ring_weight=3).item() == pytest.approx((3 + 3) / 4)


def test_reconstruction_gradient_is_the_released_code_s():
    """There: the MSE's gradient times a matrix that is 10 in a ring of 4 pixels and 1 inside."""
    torch.manual_seed(0)
    prediction = torch.rand(2, 3, 64, 64, requires_grad=True)
    truth = torch.rand(2, 3, 64, 64)
    known = torch.ones(2, 1, 64, 64)
    known[..., 4:-4, 4:-4] = 0
    (gradient,) = torch.autograd.grad(reconstruction(prediction, truth, known, ring_weight=10), prediction)
    matrix = torch.full_like(truth, 10.0)
    matrix[..., 4:-4, 4:-4] = 1
    signed = 2 * prediction.detach() - 1  # that code's pixels; the 2 in front is their slope
    torch.testing.assert_close(gradient, 2 * matrix * 2 * (signed - (2 * truth - 1)) / truth.numel())


def test_adversarial_terms_are_the_binary_cross_entropy():
    logits = torch.tensor([math.log(3.0), 0.0])  # D = 3/4 and 1/2
    assert real_loss(logits).item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2)
    assert fake_loss(logits).item() == pytest.approx(-(math.log(1 / 4) + math.log(1 / 2)) / 2)


def test_adversarial_terms_stay_finite_for_a_certain_discriminator():
    logits = torch.tensor([-1000.0, 1000.0])
    assert real_loss(logits).item() == pytest.approx(500)
    assert fake_loss(logits).item() == pytest.approx(500)


def test_hole_errors_look_into_the_hole_only():
    truth = torch.full((2, 3, 4, 4), 0.5)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, 1:3, 1:3] = 1
    mask[1, :, 0, 0] = 1
    prediction = torch.rand(2, 3, 4, 4)
    prediction[0, :, 1:3, 1:3] = 0.6
    prediction[0, :, 1, 1] = 0.4
    prediction[1, :, 0, 0] = 0.5
    l1, l2, psnr = hole_errors(prediction, truth, mask)
    torch.testing.assert_close(l1, torch.tensor([10.0, 0.0]))
    torch.testing.assert_close(l2, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(psnr, torch.tensor([20.0, 100.0]))


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    return PerceptualLoss(["relu1_2", "relu2_2"], "embedded")


KNOWN = torch.ones(2, 1, 64, 64)


def test_the_perceptual_loss_is_the_relative_squared_distance_of_features(perceptual):
    torch.manual_seed(0)
    prediction, truth = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    vgg = perceptual.vgg
    ours, true = ({layer: phi.float() for layer, phi in vgg(x, perceptual.layers).items()} for x in (prediction, truth))
    expected = [
        (ours[layer][i] - true[layer][i]).norm() ** 2 / true[layer][i].norm() ** 2
        for layer in perceptual.layers
        for i in range(2)
    ]
    torch.testing.assert_close(perceptual(prediction, truth, KNOWN), torch.stack(expected).mean())
    assert perceptual(truth, truth, KNOWN) == 0


def test_the_perceptual_loss_minds_texture_and_descends(perceptual):
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 64, 64)
    flat = truth.mean((2, 3), keepdim=True).expand_as(truth).clone().requires_grad_(True)
    before = perceptual(flat, truth, KNOWN)
    (gradient,) = torch.autograd.grad(before, flat)
    assert before > perceptual(truth + 0.05, truth, KNOWN)
    assert perceptual(flat.detach() - 0.05 * gradient / gradient.abs().max(), truth, KNOWN) < before


def test_a_perceptual_loss_on_smaller_pictures_does_not_see_what_they_lose(perceptual):
    torch.manual_seed(0)
    prediction, truth = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    half = PerceptualLoss(["relu1_2", "relu2_2"], "embedded", shrink=2)
    smaller = [F.avg_pool2d(x, 2) for x in (prediction, truth)]
    assert torch.equal(half(prediction, truth, KNOWN), perceptual(*smaller, KNOWN))
    checkered = truth + 0.1 * (-1) ** (torch.arange(64)[:, None] + torch.arange(64))  # nothing, in the mean of four
    assert half(checkered, truth, KNOWN) < 1e-6 < perceptual(checkered, truth, KNOWN)


@pytest.mark.parametrize("shrink", [0, 5, 1.5, None])
def test_pictures_that_cannot_be_shrunk_so(shrink):
    with pytest.raises(UserError, match=r"shrink is .*, but must be a whole number from 1 to 4"):
        PerceptualLoss(["relu1_2"], "embedded", shrink=shrink)


def test_the_perceptual_loss_has_a_precision_of_its_own(perceptual):
    truth, prediction = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    plain = perceptual(prediction, truth, KNOWN)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(perceptual(prediction, truth, KNOWN), plain)


def test_the_perceptual_loss_keeps_vgg_to_itself(perceptual):
    assert not perceptual.state_dict()
    assert not list(perceptual.parameters())
    assert set(perceptual.weight_files) == {"vgg"}


@pytest.mark.parametrize(("layers", "said"), [([], "needs layers of VGG"), (["relu9_9"], "no layer 'relu9_9'")])
def test_layers_that_are_refused(layers, said):
    with pytest.raises(UserError, match=said):
        PerceptualLoss(layers, "embedded")


@pytest.mark.parametrize(
    ("name", "term", "said"),
    [
        ("adv", {"weight": 1, "loss": print}, r"losses\.adv: the content GAN has a loss of that name itself"),
        ("own", {"weight": 1}, r"losses\.own must have a weight and a loss, and nothing else"),
        ("own", {"weight": 1, "loss": print, "layers": []}, "and nothing else"),
        ("own", 0.5, "must have a weight and a loss"),
        ("own", {"weight": -1, "loss": print}, r"losses\.own\.weight is -1, but a weight must be at least 0"),
        ("own", {"weight": math.nan, "loss": print}, "weight is nan"),
        ("own", {"weight": "much", "loss": print}, "weight is 'much'"),
        ("own", {"weight": 1, "loss": 3}, r"losses\.own\.loss is 3, but must be callable: give a _target_"),
    ],
)
def test_further_losses_that_are_refused(name, term, said):
    with pytest.raises(UserError, match=said):
        further_losses({name: term})

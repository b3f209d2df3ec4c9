import math

import pytest
import torch

from inpaint.content.losses import fake_loss, hole_errors, real_loss, reconstruction


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

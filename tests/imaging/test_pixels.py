import pytest
import torch

from inpaint.imaging.pixels import composite, middle, resize, resize_masked


@pytest.mark.parametrize("size", [(16, 16), (11, 13), (32, 32)])
def test_no_hole_colour_bleeds_into_known_pixels(size):
    """The same known pixels whatever stands in the hole; a constant stays that constant up to the border."""
    mask = torch.zeros(1, 64, 64)
    mask[..., 13:37, 22:51] = 1
    picture = torch.full((3, 64, 64), 0.3)
    known, hole = resize_masked(torch.where(mask > 0, 9.0, picture), mask, size)
    assert known.shape == (3, *size)
    torch.testing.assert_close(known, 0.3 * (1 - hole).expand_as(known), atol=1e-6, rtol=0)
    noise = torch.rand(3, 64, 64)
    other = torch.where(mask > 0, torch.rand_like(noise), noise)
    assert torch.equal(resize_masked(noise, mask, size)[0], resize_masked(other, mask, size)[0])


def middle_square(side):
    mask = torch.zeros(1, side, side)
    middle(mask).fill_(1)
    return mask


def test_a_batch_is_resized_as_each_of_its_pictures():
    pictures, mask = torch.rand(2, 3, 20, 30), torch.zeros(2, 1, 20, 30)
    mask[..., 5:9, 7:12] = 1
    known, hole = resize_masked(pictures, mask, (10, 11))
    for i in range(2):
        one, its_hole = resize_masked(pictures[i], mask[i], (10, 11))
        assert torch.equal(known[i], one)
        assert torch.equal(hole[i], its_hole)


def test_a_coarse_pixel_is_hole_if_any_pixel_under_it_is():
    mask = torch.zeros(1, 512, 512)
    mask[..., 128:384, 128:384] = 1
    _, hole = resize_masked(mask.expand(3, -1, -1), mask, (128, 128))
    assert torch.equal(hole, middle_square(128))
    mask.zero_()[..., 511, 0] = 1
    _, hole = resize_masked(mask.expand(3, -1, -1), mask, (128, 128))
    assert hole.nonzero().tolist() == [[0, 127, 0]]


def test_resize_keeps_constants_and_composite_takes_sides():
    assert torch.allclose(resize(torch.full((3, 9, 7), 0.4), (20, 5)), torch.tensor(0.4))
    mask = middle_square(8)
    mixed = composite(torch.zeros(3, 8, 8), torch.ones(3, 8, 8), mask)
    assert torch.equal(mixed, mask.expand(3, 8, 8))
    assert middle(mixed).shape == (3, 4, 4)

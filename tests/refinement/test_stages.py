from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from torch import nn

from inpaint.content.predict import predict
from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import resize
from inpaint.imaging.reading import read_picture
from inpaint.photo.inpainter import Inpainter
from inpaint.photo.photo import Photo
from inpaint.refinement.matching import finer, nearby, nearest
from inpaint.refinement.module import Refinement
from inpaint.refinement.pyramid import refine
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset
from inpaint.refinement.stages import inpaint, scales_of, scales_to_learn_from, surroundings
from tests.refinement.test_pyramid import gravel, hole

COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"
QUICK = preset(rounds=1, iterations=2)
ONCE = {"rounds": 1, "iterations": 1}
MEAN = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)


class Grey(nn.Module):
    """A generator that predicts one grey, and remembers what it was shown."""

    def __init__(self, value=0.5):
        super().__init__()
        self.value = value

    def forward(self, picture, mask):
        self.shown = picture, mask
        return torch.full((len(picture), 3, 64, 64), self.value)


class Content(nn.Module):
    """What the refinement needs of a content network."""

    def __init__(self, generator, mean_colour=MEAN):
        super().__init__()
        self.generator, self.mean_colour = generator, mean_colour


def grey(picture, mask):
    return torch.full_like(picture, 0.5)


def test_what_is_evaluated_is_what_ships(vgg):
    """One square picture through the LightningModule and the Inpainter, with the network that ships: bit by bit."""
    inpainter = Inpainter(device="cpu")
    inpainter.settings, inpainter.vgg = QUICK, vgg
    content = Content(inpainter.first_stage.generator, inpainter.first_stage.mean_colour)
    module = Refinement(content, QUICK, vgg, "float32")
    pixels = (resize(read_picture(COFFEE)[None, :, :384, 100:484], (256, 256))[0] * 255).round()
    side = 112  # of 256: the hole of the Context Encoder's code
    mask = hole(256, 256, top=72, left=72, side=side)
    evaluated = module(pixels / 255, mask)
    photo = Photo(pixels.byte().permute(1, 2, 0).numpy(), "RGB")
    filled, (done,), _ = inpainter.fill_photo(photo, mask[0].numpy() > 0, dilate=0, feather=0)
    assert done.window.box == (0, 0, 256, 256)
    assert (
        [scale.size for scale in done.scales] == [scale.size for scale in evaluated.scales] == [(128, 128), (256, 256)]
    )
    for ours, theirs in zip(done.scales, evaluated.scales, strict=True):
        assert ours.after.values() == theirs.after.values()
    expected = (evaluated.refined * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(filled.pixels, expected)
    assert not np.array_equal(filled.pixels, photo.pixels)


def test_the_prediction_meets_the_holes_border():
    """One that is far off is drawn to the known pixels at the border, and is itself in the middle."""
    mask = hole(128, 128, 40, 50, 40)
    mask[:, :10, :10] = 1  # another hole, outside the middle: filled smoothly
    bright = torch.where(mask > 0, 9.0, torch.full((3, 128, 128), 0.8))
    filled = predict(Grey(0.0), MEAN, True, bright, mask)
    assert filled[:, 40, 50:90].min() > 0.55
    assert filled[:, 58:62, 68:72].max() < 0.02
    assert (filled * (1 - mask) - bright * (1 - mask)).abs().max() < 1e-6
    torch.testing.assert_close(filled[:, :10, :10], torch.full((3, 10, 10), 0.8))
    plain = predict(Grey(0.0), MEAN, False, bright, mask)
    assert not plain[:, 40:80, 50:90].any()


def test_the_network_is_shown_the_hole_in_its_colour():
    network, mask = Grey(), hole(128, 128, 40, 50, 40)
    predict(network, MEAN, True, torch.where(mask > 0, 9.0, torch.full((3, 128, 128), 0.8)), mask)
    shown, told = network.shown
    assert torch.equal(told[0], mask)
    torch.testing.assert_close(shown[0] * mask, MEAN * mask)


@pytest.mark.parametrize("place", [(0, 0), (150, 200), (316, 290)])
def test_only_the_holes_surroundings_are_looked_at(vgg, place):
    """The same result as on them alone, wherever they are; all else is as it was."""
    left, top = place
    picture, mask = gravel(320, 340), hole(320, 340, top, left, 24)
    quick = preset(scales=1, rounds=1, iterations=2)
    box = surroundings(Box.around(mask), (320, 340), 1)
    assert box.size == (128, 128)
    assert box.of(mask).sum() == mask.sum()
    whole = inpaint(picture, mask, grey, vgg, quick).refined
    part, _ = refine(box.of(picture), box.of(mask), torch.full_like(box.of(picture), 0.5), vgg, quick)
    assert torch.equal(box.of(whole), part)
    assert torch.equal(whole * (1 - mask), picture * (1 - mask))


def test_surroundings():
    for side in (224, 256):
        start = (512 - side) // 2
        assert surroundings(Box(start, start, start + side, start + side), (512, 512), 3) == (0, 0, 512, 512)
    assert surroundings(Box(1700, 900, 1956, 1156), (2048, 4096), 3).size == (608, 608)
    assert surroundings(Box(1000, 1000, 1900, 1900), (3000, 4000), 5).size == (1536, 1536)  # 256 pixels more, aligned


def test_as_many_scales_as_there_is_something_to_learn_from(vgg):
    assert [scales_of(side) for side in (90, 128, 180, 182, 256, 512, 1024, 1170)] == [1, 1, 1, 2, 2, 3, 4, 4]
    strides = [4, 8]
    assert scales_to_learn_from(hole(256, 256, 100, 100, 56), strides, 3) == 3
    assert scales_to_learn_from(hole(256, 256, 100, 100, 56), strides, 4) == 3  # 4 x 4 cells of relu4_1
    assert scales_to_learn_from(hole(256, 256, 100, 100, 56), [4], 5) == 4  # 16 pixels are too few
    assert scales_to_learn_from(hole(256, 256, 40, 40, 176), strides, 3) == 1  # at 128 no patch of relu4_1 is clear
    full = hole(128, 128, 4, 4, 120)
    filled = inpaint(gravel(), full, grey, vgg, QUICK)
    assert not filled.scales
    assert torch.equal(filled.refined, filled.content)
    with pytest.raises(UserError, match="no patch to learn from"):
        inpaint(gravel(), full, grey, vgg, preset(scales=1))


def test_both_rows_have_the_same_border(vgg):
    """Where stage 2's result is made seamless, what stage 1 alone gives is so too; what stage 2 starts from is not."""
    picture, mask = gravel(), hole()
    for name, blends in (("default", True), ("paper", False)):
        filled = inpaint(picture, mask, lambda picture, mask: torch.zeros_like(picture), vgg, preset(name, **ONCE))
        assert torch.equal(filled.start, picture * (1 - mask))
        assert torch.equal(filled.content * (1 - mask), picture * (1 - mask))
        assert torch.equal(filled.content, filled.start) != blends
        part, _ = refine(picture, mask, filled.start, vgg, preset(name, scales=1, **ONCE))
        assert torch.equal(filled.refined, part)
        step, middle = (filled.content[..., row, 62:66].mean() for row in (52, 64))
        assert middle < 0.05
        assert (step > 0.5 * picture[..., 51, 62:66].mean()) == blends


def test_near_matches_where_the_finer_map_has_one_more_column(vgg):
    """The next scale's map of a picture of 264 pixels has 33 cells, twice that of 132 has 32: guesses still are near.

    What is found near them is almost as good as what is found among all candidates.
    """
    picture = resize(read_picture(COFFEE)[None, :, :396, :396], (264, 264))[0]
    mask = hole(264, 264, top=72, left=72, side=120)
    small, small_mask = resize(picture, (132, 132)), hole(132, 132, top=36, left=36, side=60)
    settings = preset(layers=("relu4_1",))
    coarse = Scale(vgg, small, small_mask, small, settings)
    coarse.match(coarse.pixels)
    fine = Scale(vgg, picture, mask, picture, settings, coarse.matches)
    where, keys, box = fine.geometry["relu4_1"], fine.keys["relu4_1"], fine.features.wanted["relu4_1"]
    assert where.queries.shape[1] == 2 * coarse.geometry["relu4_1"].queries.shape[1] + 1
    asking = box.of(keys.features)
    query, exact = nearest(asking, box, where.queries, keys, "ncc")
    guess = finer(coarse.matches["relu4_1"], where.queries.shape)
    near = nearby(asking, box, query, guess, keys, "ncc")

    def distance(candidate):
        columns, distances = where.queries.shape[1], []
        for i, j in zip(query.tolist(), candidate.tolist(), strict=True):
            p, q = (
                keys.features[:, c // columns - 1 : c // columns + 2, c % columns - 1 : c % columns + 2] for c in (i, j)
            )
            distances.append(1 - float((p * q).sum() / p.norm() / q.norm()))
        return sum(distances) / len(distances)

    assert distance(near) < 1.15 * distance(exact)

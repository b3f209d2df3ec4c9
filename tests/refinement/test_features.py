import copy

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inpaint.imaging.box import Box
from inpaint.refinement.features import HoleFeatures

LAYERS = ("relu3_1", "relu4_1")


@settings(max_examples=25)
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
    hole = Box(left, top, min(left + side[1], width), min(top + side[0], height))
    wanted = {}
    for layer in LAYERS:
        size = (height // vgg.strides[layer], width // vgg.strides[layer])
        wanted[layer] = hole.pooled(size, vgg.strides[layer]).grown(1, size)
    near = HoleFeatures(vgg, torch.rand(3, height, width, dtype=torch.float64), hole, wanted)

    other = torch.rand(3, *hole.size, dtype=torch.float64).requires_grad_()
    # the surroundings stay those of the picture given first
    features = near(other)
    torch.manual_seed(height * width)
    whole = torch.rand(3, height, width, dtype=torch.float64)
    hole.of(whole).copy_(other.detach())
    whole.requires_grad_()
    expected = {layer: found[0] for layer, found in vgg(whole[None], LAYERS).items()}
    for layer in LAYERS:
        difference = (features[layer] - wanted[layer].of(expected[layer])).abs().max()
        assert difference <= 1e-10 * expected[layer].abs().max()
    sum(f.sum() for f in features.values()).backward()
    sum(wanted[layer].of(expected[layer]).sum() for layer in LAYERS).backward()
    theirs = hole.of(whole.grad)
    assert (other.grad - theirs).norm() <= 1e-10 * theirs.norm() + 1e-6

"""The cropped, blocked, identity-based energies, which users run, against their plain float64 statement."""

import pytest
import torch

from inpaint.refinement.matching import geometry, make_bank, nearest
from inpaint.refinement.scale import Scale
from inpaint.refinement.settings import preset

RULES = ("l2", "ncc")


def scale_of(golden, vgg, rule) -> Scale:
    image, content = golden["image"].float(), golden["content"].float()
    mask = golden["mask"].float()[None]
    scale = Scale(vgg, image, mask, image, preset(rule=rule, colour=0))
    scale.content_target = scale.framed.of(content)
    return scale


@pytest.mark.parametrize("rule", RULES)
def test_energies(golden, vgg, rule):
    scale = scale_of(golden, vgg, rule)
    scale.match(scale.pixels)
    energies = scale.energies(scale.pixels)
    for name, stated in (
        ("texture", f"{rule}.texture"),
        ("content", "content_energy"),
        ("total_variation", "tv_energy"),
    ):
        torch.testing.assert_close(getattr(energies, name).double(), golden[stated].double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("rule", RULES)
def test_gradient(golden, vgg, rule):
    scale = scale_of(golden, vgg, rule)
    pixels = scale.pixels.clone().requires_grad_()
    scale.match(pixels.detach())
    scale.energies(pixels).texture.backward()
    stated = golden[f"{rule}.texture.grad"].double()
    found = torch.zeros_like(stated)
    scale.hole.of(found).copy_(pixels.grad)
    assert (found - stated).norm() <= 1e-4 * stated.norm()


@pytest.mark.parametrize("layer", ["relu3_1", "relu4_1"])
@pytest.mark.parametrize("rule", RULES)
def test_chosen_patches(golden, vgg, rule, layer):
    mask = golden["mask"].float()
    scale = scale_of(golden, vgg, rule)
    phi = scale.features(scale.pixels)[layer]
    where, box, bank = scale.geometry[layer], scale.features.wanted[layer], scale.banks[layer]
    query, candidate = nearest(phi, box, where.queries, bank, rule)
    columns = bank.candidates.shape[1]

    def centres(flat):
        return torch.stack([flat // columns, flat % columns], 1)

    assert torch.equal(centres(query), golden[f"{layer}.queries"])
    stated = golden[f"{rule}.{layer}.nn"]
    whole = scale.features.whole[layer].double()
    for (r, q), mine, theirs in zip(
        golden[f"{layer}.queries"].tolist(), centres(candidate).tolist(), stated.tolist(), strict=True
    ):
        if mine != theirs:  # allowed only where the two cost the same, to rounding
            patch = whole[:, r - 1 : r + 2, q - 1 : q + 2]
            costs = [cost(patch, whole[:, y - 1 : y + 2, x - 1 : x + 2], rule) for y, x in (mine, theirs)]
            assert abs(costs[0] - costs[1]) <= 1e-5 * abs(costs[1])
    torch.testing.assert_close(
        bank.mean_squared_norm.double(), golden[f"{layer}.mean_squared_norm"].double(), rtol=1e-5, atol=0
    )
    assert torch.equal(geometry(mask[None], vgg.strides[layer]).candidates, where.candidates)
    assert make_bank(bank.features, bank.candidates).features.dtype == torch.float32


def cost(a, b, rule) -> float:
    if rule == "l2":
        return float((a - b).pow(2).sum())
    return float(-(a * b).sum() / b.norm())

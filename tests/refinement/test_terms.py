"""Further terms of the energy, by the settings."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.refinement.pyramid import refine
from inpaint.refinement.settings import Term, preset
from tests.refinement.test_pyramid import flat_prediction, gravel, hole


def darkness(x, x_i, mask, white=1.0):
    """How far the hole is from white."""
    return ((white - x).pow(2) * mask).sum() / (3 * mask.sum())


def refined(vgg, **changes):
    picture, mask = gravel(), hole()
    return refine(picture, mask, flat_prediction(picture, mask), vgg, preset(scales=2, iterations=3, **changes))


def test_a_term_pulls_the_fill_and_is_reported(vgg):
    plain, plain_reports = refined(vgg)
    terms = {"darkness": Term(100.0, darkness)}
    pulled, reports = refined(vgg, terms=terms)
    assert pulled[..., 52:76, 52:76].mean() > plain[..., 52:76, 52:76].mean() + 0.1
    assert torch.equal(pulled * (1 - hole()), plain * (1 - hole()))
    for report, without in zip(reports, plain_reports, strict=True):
        assert list(report.after.values()) == ["content", "texture", "total_variation", "darkness"]
        assert list(without.after.values()) == ["content", "texture", "total_variation"]
        assert report.after.values()["darkness"] < report.before.values()["darkness"]
        settings = preset(terms=terms)
        of_the_paper = report.after._replace(further={}).total(settings)
        torch.testing.assert_close(report.after.total(settings), of_the_paper + 100 * report.after.further["darkness"])


def test_a_term_without_weight_changes_no_bit(vgg):
    """Only told: as a measure of what the optimisation does."""
    plain, _ = refined(vgg)
    measured, reports = refined(vgg, terms={"darkness": {"weight": 0, "energy": darkness}})
    assert torch.equal(plain, measured)
    assert reports[0].after.values()["darkness"] > 0


def test_a_term_sees_whole_pictures_at_each_scale(vgg):
    seen = {}

    def look(x, x_i, mask):
        assert x.shape == x_i.shape == (3, *mask.shape[1:])
        assert torch.equal(x.detach() * (1 - mask), x_i * (1 - mask))
        assert not x_i.requires_grad
        if tuple(mask.shape) not in seen:  # it starts from there
            torch.testing.assert_close(x.detach(), x_i)
        seen[tuple(mask.shape)] = float(mask.sum())
        return x.sum() * 0

    refined(vgg, terms={"look": Term(1.0, look)})
    assert seen == {(1, 64, 64): 144, (1, 128, 128): 576}


@pytest.mark.parametrize(
    ("energy", "sentence"),
    [
        (lambda x, x_i, mask: (x - x_i).pow(2), r"'mine' gives a tensor of \[3, 64, 64\], but must return"),
        (lambda x, x_i, mask: 1.0, "'mine' gives a float, but must return a tensor of one number"),
        (lambda x, x_i, mask: (x - x_i).sum() / 0 * 0, "'mine' is nan, but has to be finite"),
        (
            lambda x, x_i, mask: (x - x_i).pow(2).sum().sqrt(),
            "gradient of one of these energy terms is not finite: mine",
        ),
    ],
)
def test_a_term_that_is_no_finite_number(vgg, energy, sentence):
    with pytest.raises(UserError, match=sentence):
        refined(vgg, terms={"mine": Term(1.0, energy)})


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"texture": Term(1.0, darkness)}, "cannot be called 'texture': .* alpha and beta"),
        ({"a/b": Term(1.0, darkness)}, "cannot be called 'a/b'"),
        ({"mine": {"weight": 1.0}}, "'mine' has weight, but needs weight and energy"),
        ({"mine": {}}, "'mine' has nothing, but needs"),
        ({"mine": 1.0}, "'mine' is no function: name one by _target_, with _partial_"),
        ({"mine": {"weight": 1.0, "energy": "darkness"}}, "'mine' is no function"),
        ({"mine": Term(-1.0, darkness)}, "weight of the energy term 'mine' is -1.0, but has to be at least 0"),
        ({"mine": Term(float("nan"), darkness)}, "weight of the energy term 'mine' is nan"),
        ({"mine": Term("heavy", darkness)}, "weight of the energy term 'mine' is heavy"),
    ],
)
def test_terms_that_are_not_understood(terms, sentence):
    with pytest.raises(UserError, match=sentence):
        preset(terms=terms)


def test_terms_and_features_by_the_configuration():
    here = "tests.refinement"
    with initialize_config_dir(str(CONF), version_base=None):
        cfg = compose(
            "train",
            [
                "+experiment=refine",
                f"+model.preset.terms.dark={{weight:2,energy:{{_target_:{here}.test_terms.darkness,_partial_:true,white:0.5}}}}",
                "model.preset.layers=[fine]",
                "model.preset.voting_layer=fine",
                "~model.features",
                f"+model.features={{_target_:{here}.test_own_features.Filters,strides:{{fine:4}}}}",
            ],
        )
        default = compose("train", ["+experiment=refine"])
    module = instantiate(
        {
            "_target_": "inpaint.refinement.module.Refinement",
            "content": None,
            "precision": "auto",
            "preset": cfg.model.preset,
            "features": cfg.model.features,
        }
    )
    settings = module.preset
    assert settings.terms["dark"].weight == 2
    assert settings.terms["dark"].energy(torch.ones(3, 4, 4), None, torch.ones(1, 4, 4)) == 0.25
    assert module.features_name == "random filters"
    assert instantiate(default.model.preset) == preset()
    assert instantiate(default.model.features).name == "VGG-16"

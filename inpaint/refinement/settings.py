"""What can be set in the refinement, and the presets of it; what a match costs in voting stands in `voting`.

A preset is a file of `conf/model/preset`: the one place where its values stand, whether Hydra composes them for an
experiment or `preset` reads them for a photo.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import yaml
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import CONF
from inpaint.imaging.pixels import Mask, Picture

Rule = Literal["ncc", "l2"]
FOLDER = CONF / "model" / "preset"
PAPERS_TERMS = ("content", "texture", "total_variation")  # of equation 1


class Term(NamedTuple):
    """A further term of the energy.

    Attributes:
        weight: of it; the paper's content term has 1.
        energy: of the whole picture x at the scale at hand, of the one that this scale starts from, x_i, and of the
            mask: one number, a tensor of no dimensions, differentiable in x. The pictures differ only in the hole; x
            may leave [0, 1] a little.
    """

    weight: float
    energy: Callable[[Picture, Picture, Mask], Float[Tensor, ""]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the refinement does.

    Attributes:
        alpha: weight of the texture energy, whose unit is the candidates' mean squared patch norm.
        beta: weight of the total variation.
        terms: further terms of the energy, by name, each a `Term` or a mapping of its two fields; the paper has none.
        content_weight: weight of the content energy; 0 leaves it out (figure 5).
        layers: where texture is matched.
        rule: what "nearest" means: "ncc" (cosine similarity, the authors' code) or "l2" (equation 4).
        colour: how much the cells' mean colours weigh beside their features in what is nearest; the paper has none.
        smooth: standard deviation, in pixels of the first scale, of a Gaussian blur that removes the content network's
            fine grid from its prediction, which would be matched to lattices; the paper has none.
        blend_border: whether the border of the prediction, of each scale's start and of the result is made seamless;
            neither the paper nor the authors' code does so.
        voting_scales: at how many scales, from the coarsest on, the hole is filled by the pixels of its matches before
            any gradient (`voting`); None is all of them. The paper does so at none: 0.
        voting_rounds: how often that is done at the coarsest; at the others once.
        detail: whether a scale at which nothing is voted starts with the detail that its matches have there (`detail`);
            the paper starts it from the scale before, enlarged.
        keep_colours: whether the optimisation changes brightness alone: VGG hardly sees colour, and what it makes of it
            are tints and coloured noise; the paper optimises all three channels.
        voting_layer: the layer whose features patches vote by; in VGG relu3_1, the finest that still shows structure.
        content_layer: None compares pixels with the prediction (equation 2); a layer's name compares its features, in
            units of their mean square (the authors' code).
        scales: how many, each half the next; the last is the picture's own size. None takes as many as lead from the
            content network's size to the picture's, or fewer where the hole leaves no patch to learn from.
        rounds: how often, at each scale, matches are found anew.
        iterations: L-BFGS iterations in each round.
        gradient_scales: at how many scales, from the coarsest on, L-BFGS runs; None is all of them, as in the paper.
            The other scales keep the hole as it starts.

    Raises:
        UserError: a number is too small or not finite, there is no such rule, no layer is named, a further term has
            the name of one of equation 1, or is not understood.
    """

    alpha: float
    beta: float
    content_weight: float
    terms: Mapping[str, Term]
    layers: tuple[str, ...]
    rule: Rule
    colour: float
    smooth: float
    blend_border: bool
    voting_scales: int | None
    voting_rounds: int
    voting_layer: str
    detail: bool
    keep_colours: bool
    content_layer: str | None
    scales: int | None
    rounds: int
    iterations: int
    gradient_scales: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "terms", {str(name): _term(name, term) for name, term in self.terms.items()})
        for name in ("alpha", "beta", "content_weight", "colour", "smooth"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name} is {getattr(self, name)}, but has to be at least 0, and finite.")
        for name, least in (
            ("scales", 1), ("rounds", 1), ("iterations", 1), ("gradient_scales", 0), ("voting_scales", 0),
            ("voting_rounds", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if not (name.endswith("scales") and value is None) and not value >= least:
                raise UserError(f"{name} is {value}, but has to be at least {least}.")
        if self.rule not in ("ncc", "l2"):
            raise UserError(f"There is no matching rule {self.rule!r}: choose ncc or l2.")
        if not self.layers:
            raise UserError("layers is empty: name at least one layer to match texture in, such as relu4_1.")

    @property
    def matched_layers(self) -> tuple[str, ...]:
        """Those where patches are matched: for the texture, and for voting."""
        return tuple(dict.fromkeys((*self.layers, *([self.voting_layer] if self.voting_scales != 0 else []))))

    @property
    def used_layers(self) -> tuple[str, ...]:
        """Those whose features are computed: the matched ones, and that of the content term if it has one."""
        return tuple(dict.fromkeys((*self.matched_layers, *([self.content_layer] if self.content_layer else []))))

    def votes_at(self, number: int) -> int:
        """How often the hole is filled by voting at that scale, counted from the coarsest, 0."""
        if self.voting_scales is not None and number >= self.voting_scales:
            return 0
        return 1 if number else self.voting_rounds

    def iterations_at(self, number: int) -> int:
        """How many iterations of L-BFGS all rounds at that scale have, counted from the coarsest, 0."""
        if self.gradient_scales is not None and number >= self.gradient_scales:
            return 0
        return self.rounds * self.iterations


def _term(name: Any, term: Any) -> Term:
    """What `terms` holds under a name, as a `Term`."""
    if name in PAPERS_TERMS or not isinstance(name, str) or "/" in name:
        raise UserError(
            f"A further energy term cannot be called {name!r}: give it a name without a slash, other than "
            f"{', '.join(PAPERS_TERMS)}, whose weights are content_weight, alpha and beta."
        )
    if isinstance(term, Mapping):
        if set(term) != set(Term._fields):
            raise UserError(
                f"The energy term {name!r} has {', '.join(map(str, term)) or 'nothing'}, but needs weight and energy."
            )
        term = Term(term["weight"], term["energy"])
    if not isinstance(term, Term) or not callable(term.energy):
        raise UserError(f"The energy of the term {name!r} is no function: name one by _target_, with _partial_: true.")
    if isinstance(term.weight, bool) or not isinstance(term.weight, int | float) or not 0 <= term.weight < float("inf"):
        raise UserError(
            f"The weight of the energy term {name!r} is {term.weight}, but has to be at least 0, and finite."
        )
    return term


def preset(name: str = "default", **changes: Any) -> Settings:
    """The settings of a preset, with some of them changed; a UserError where there is no such preset or value."""
    return replace(Settings(**_read(name)), **changes)


def _read(name: str) -> dict[str, Any]:
    """The values of a preset's file and, below them, of the files that it is based on, as Hydra composes them."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in names:
        raise UserError(f"There is no preset {name!r}: choose one of {', '.join(names)}.")
    own = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    bases = [base for base in own.pop("defaults", []) if base != "_self_"]
    own.pop("_target_", None)
    return {key: value for base in bases for key, value in _read(base).items()} | own

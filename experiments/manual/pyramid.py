"""pyramid.jpg: how a fill grows, round by round and scale by scale, out of what the content network predicts."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from experiments.examples import square_hole
from experiments.manual.sheets import FIG, Tile, Workshop, sheet
from inpaint.content.weights import STARTER
from inpaint.imaging.pixels import Mask, Picture, composite, resize
from inpaint.imaging.reading import to_image, to_tensor
from inpaint.photo.first_stage import Network
from inpaint.refinement.scale import ScaleReport
from inpaint.refinement.settings import Settings, Term, preset
from inpaint.refinement.stages import Filled, FirstStage, inpaint
from inpaint.vgg import VGG, load_vgg

VOTES = (1, 2, 4, 8)  # rounds that are shown
TILE = 194


class Watched:
    """A further term of the energy that weighs nothing, and keeps every picture whose energy is asked for."""

    def __init__(self) -> None:
        self.scales: dict[int, list[Picture]] = {}

    def __call__(self, picture: Picture, start: Picture, mask: Mask) -> Float[Tensor, ""]:
        self.scales.setdefault(picture.shape[-1], []).append(picture.detach().clone())
        return (picture * 0).sum()


def grown(
    case: tuple[Picture, Mask], content: FirstStage, vgg: VGG, settings: Settings
) -> tuple[Filled, list[Picture], list[list[Picture]]]:
    """A case filled; what its first scale holds after some rounds of voting; and each scale step by step.

    A scale is a list: the picture that it starts from, what each step of the descent tries, and what it ends with.
    """
    votes = []
    for rounds in VOTES:
        ends: list[Picture] = []
        only = replace(settings, voting_rounds=rounds, gradient_scales=0)
        inpaint(*case, content, vgg, only, on_scale=partial(keep, ends))
        votes.append(ends[0])
    watched = Watched()
    filled = inpaint(*case, content, vgg, replace(settings, terms={"watched": Term(0.0, watched)}))
    # the energies of the start are asked for twice: to be reported, and to begin the descent with
    return filled, votes, [watched.scales[size][1:] for size in sorted(watched.scales)]


def keep(pictures: list[Picture], number: int, report: ScaleReport, picture: Picture) -> None:
    """Keeps what a scale ends with."""
    pictures.append(picture)


def size_of(picture: Picture) -> tuple[int, int]:
    """Height and width."""
    return picture.shape[-2], picture.shape[-1]


def near(picture: Picture) -> Image.Image:
    """The hole in the middle of a picture and what lies around it; enlarged, its pixels are seen as they are."""
    height, width = picture.shape[-2:]
    part = to_image(picture[:, height * 7 // 32 : height * 25 // 32, width * 7 // 32 : width * 25 // 32].clamp(0, 1))
    method = Image.Resampling.NEAREST if part.width < TILE else Image.Resampling.LANCZOS
    return part.resize((TILE, TILE), method)


def rows_of(
    case: tuple[Picture, Mask], filled: Filled, votes: list[Picture], scales: list[list[Picture]]
) -> list[list[Tile]]:
    """A row a scale; the last one ends with the result and the truth."""
    picture, mask = case
    coarse = size_of(scales[0][0])
    rows = [
        [
            (f"{coarse[1]} pixels:\nthe hole", resize(composite(picture, torch.ones_like(picture), mask), coarse)),
            ("\nprediction", resize(filled.start, coarse)),
            *((f"\npatches vote, {rounds} x", vote) for rounds, vote in zip(VOTES, votes, strict=True)),
            ("\ndescent, at its end", scales[0][-1]),
        ]
    ]
    for before, now in pairwise(scales):
        size = size_of(now[0])
        rows.append([(f"{size[1]} pixels:\nthe row above, enlarged", resize(before[-1], size))])
        rows[-1].append(("\ndetail of the patches", now[0]))
        rows[-1] += [(f"\ndescent, step {step}", now[step]) for step in (1, 3, len(now) - 2)]
    rows[-1] += [("\nresult", filled.refined), ("\ntruth", picture)]
    return [[Tile(caption, near(shown)) for caption, shown in row] for row in rows]


def draw(shop: Workshop, side: int = 900, crop: tuple[int, int, int] = (0, 60, 512)) -> Image.Image:
    """The tip of the bowl, a hole in the middle of 512 x 512 pixels, by the default preset.

    Args:
        crop: left, top and side in the photograph whose longer side is `side`.
    """
    left, top, length = crop
    photo = shop.photo(FIG, side).crop((left, top, left + length, top + length))
    case = (to_tensor(photo), square_hole(length, length * 7 // 16))
    return sheet(rows_of(case, *grown(case, Network(STARTER), load_vgg().on("cpu"), preset())), TILE, TILE)

"""Pictures with holes that several experiments work on."""

from pathlib import Path

import skimage
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.imaging.pixels import Mask, Picture, resize
from inpaint.imaging.reading import read_picture
from inpaint.refinement.settings import Settings
from inpaint.refinement.stages import Filled, FirstStage, inpaint
from inpaint.vgg import VGG


def square_hole(size: int, side: int) -> Mask:
    """A hole of that side in the middle of a square picture of that size."""
    mask = torch.zeros(1, size, size)
    start = (size - side) // 2
    mask[:, start : start + side, start : start + side] = 1
    return mask


def authors_case(path: Path) -> tuple[Picture, Mask]:
    """One of the authors' pictures, 512 x 512, and their hole in its middle, 224 x 224."""
    return read_picture(path), square_hole(512, 224)


def near_the_hole(picture: Float[Tensor, "3 512 512"]) -> Float[Tensor, "3 288 288"]:
    """The authors' hole and 32 pixels around it."""
    assert picture.shape[1:] == (512, 512)
    return picture[:, 112:400, 112:400]


def enlarged(picture: Picture) -> Float[Tensor, "3 512 512"]:
    """At 512 x 512: nearest, so that pixels are seen as they are."""
    return F.interpolate(picture[None], (512, 512))[0]


def published_result(folder: Path, name: str) -> Float[Tensor, "3 512 512"]:
    """What the method's authors published for the picture of that name, `real_...`; their files are half as large."""
    return enlarged(read_picture(folder / f"{name.replace('real', 'published')}.png"))


def scale_by_scale(
    case: tuple[Picture, Mask], content: FirstStage, vgg: VGG, settings: Settings
) -> tuple[Filled, list[Picture]]:
    """A case filled, and what each scale made of it, all as 512 x 512."""
    scales: list[Picture] = []
    filled = inpaint(*case, content, vgg, settings, on_scale=lambda number, report, picture: scales.append(picture))
    return filled, [enlarged(picture) for picture in scales]


def problem(size: int = 512, hole: int = 256) -> tuple[Picture, Mask, Picture]:
    """A photograph that ships with scikit-image, repeated to that size, a square hole, and a blurred prediction."""
    photo = read_picture(Path(skimage.__file__).parent / "data" / "astronaut.png")
    repeats = -(-size // 512)
    picture = photo.repeat(1, repeats, repeats)[:, :size, :size].contiguous()
    prediction = resize(resize(picture, (16, 16)), (128, 128) if size == 512 else (512, 512))
    return picture, square_hole(size, hole), prediction

"""The first stage for one window of a photo: the content network, classical filling, or a picture given by the user."""

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.classical.filling import fill, filler
from inpaint.content.networks import SIDE
from inpaint.content.weights import STARTER, build, read_state
from inpaint.errors import UserError
from inpaint.imaging.pixels import composite, middle, resize_masked
from inpaint.imaging.reading import opened, to_rgb
from inpaint.imaging.smooth import diffuse, seamless
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.windows import Window

CHOICES = "starter, telea, the path of a checkpoint (.ckpt, .safetensors), or the path of a picture"


class FirstStage(Protocol):
    """What the refinement starts from.

    `weight_files` are the files that it read weights from, by name.
    """

    weight_files: dict[str, Path]

    def __call__(
        self,
        picture: Float[Tensor, "1 3 side side"],
        mask: Float[Tensor, "1 1 side side"],
        window: Window,
        size: tuple[int, int],
    ) -> Float[Tensor, "1 3 any_height any_width"]:
        """The whole window, at any size, with its hole filled.

        Args:
            picture: in [0, 1]; what stands in the hole is not looked at.
            mask: 1 in the hole; a part of it, around the window's centre, is what is being filled.
            window: where in the photo.
            size: of the photo.
        """
        ...


class Network:
    """A content network. It fills the middle half; what else is unknown in the window it is shown filled smoothly.

    At the hole's border its prediction is drawn to the picture's colours (`seamless`), so that narrow holes are filled
    at least as well as by diffusion.
    """

    def __init__(self, path: Path) -> None:
        state = read_state(path)
        self.generator, self.mean_colour = build(state, path)
        self.weight_files = self.generator.weight_files | {"content": path}

    @torch.no_grad()
    def __call__(self, picture: Tensor, mask: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
        self.generator.to(picture.device)
        known, hole = resize_masked(picture, mask, (SIDE, SIDE))
        known = diffuse(known, hole)
        inner = torch.zeros_like(hole)
        middle(inner).copy_(middle(hole))
        shown = composite(known, self.mean_colour.to(known).expand_as(known), inner)
        guess = self.generator(shown, inner).float()
        return seamless(known, F.pad(guess, [SIDE // 4] * 4), inner)


class Telea:
    """Classical filling: Telea's fast marching (2004), from OpenCV."""

    weight_files: dict[str, Path]

    def __init__(self) -> None:
        self.filler = filler("telea")
        self.weight_files = {}

    def __call__(self, picture: Tensor, mask: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
        known, hole = resize_masked(picture, mask, (SIDE, SIDE))
        if hole.all():  # nothing to march from
            return diffuse(known, hole)
        return fill(known[0], hole[0], self.filler)[None]


class Given:
    """Another program's result, or any picture of the photo's size."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path = path
        with opened(path, max_pixels) as image:
            self.pixels = np.array(to_rgb(image))
        self.weight_files: dict[str, Path] = {}

    def __call__(self, picture: Tensor, mask: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
        height, width = self.pixels.shape[:2]
        if (height, width) != size:
            raise UserError(
                f"{self.path} is {width} x {height} pixels but the photo is {size[1]} x {size[0]}: "
                "a picture given as the first stage must have the photo's size."
            )
        return torch.from_numpy(window.cut(self.pixels)).permute(2, 0, 1)[None].to(picture) / 255


def first_stage(content: str | Path | None = None, max_pixels: int = MAX_PIXELS) -> FirstStage:
    """The first stage by its name or file.

    Args:
        content: "starter" (the network that ships with this package), "telea", a checkpoint of `inpaint.train`, or a
            picture; None is the starter where it is there, else "telea".
        max_pixels: a picture that declares more is refused.

    Raises:
        UserError: there is no such choice or file; the file is no content network or no picture; OpenCV is missing.
    """
    if content is None:
        content = "starter" if STARTER.is_file() else "telea"
    if content == "telea":
        return Telea()
    if content == "starter":
        if not STARTER.is_file():
            raise UserError("This copy of the package has no starter network: choose telea, or a checkpoint of yours.")
        return Network(STARTER)
    path = Path(content)
    if not path.is_file():
        missing = f"{path} does not exist" if path.suffix else f"There is no first stage {str(content)!r}"
        raise UserError(f"{missing}: choose {CHOICES}.")
    return Network(path) if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".safetensors") else Given(path, max_pixels)

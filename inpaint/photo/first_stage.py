"""The first stage for one window of a photo: a content network, classical filling, or a picture given by the user."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from inpaint.classical.filling import fill, filler
from inpaint.content.networks import SIDE
from inpaint.content.onnx_network import OnnxNetwork
from inpaint.content.predict import predict
from inpaint.content.weights import STARTER, load_network
from inpaint.errors import UserError
from inpaint.imaging.pixels import Mask, Picture, composite, in_the_middle, resize, resize_masked
from inpaint.imaging.reading import opened, to_rgb
from inpaint.imaging.smooth import diffuse, seamless
from inpaint.photo.defaults import MAX_PIXELS
from inpaint.photo.windows import EVERY_NEIGHBOUR, FINE, Window
from inpaint.refinement.pyramid import blurred
from inpaint.refinement.stages import FirstStage

VARIETY = 0.5  # of what another seed adds to the prediction, in the standard deviations of the surroundings
CHECKPOINTS = (".ckpt", ".pt", ".pth", ".safetensors")  # of checkpoints


class Network:
    """A content network, whose prediction is made to meet its surroundings, see `predict`."""

    def __init__(self, path: Path, blend_border: bool = True) -> None:
        self.blend_border = blend_border
        self.generator, self.mean_colour = load_network(path)
        self.weight_files = self.generator.weight_files | {"content": path}

    def __call__(self, picture: Picture, mask: Float[Tensor, "1 side side"]) -> Float[Tensor, "3 128 128"]:
        """The picture at 128 x 128 with its hole filled."""
        generator = self.generator.to(picture.device)
        return predict(generator, self.mean_colour.to(picture), self.blend_border, picture, mask)


class Exported:
    """A network of any architecture in an .onnx file, whose prediction is made to meet its surroundings likewise.

    What is made seamless is the border of the hole's part in the middle half, which content networks predict. Of a
    network that `inpaint.export` exported the result is that of `Network`, but for rounding.
    """

    def __init__(self, path: Path, blend_border: bool = True) -> None:
        self.blend_border = blend_border
        self.network = OnnxNetwork(path)
        self.weight_files = {"content": path}

    def __call__(self, picture: Picture, mask: Float[Tensor, "1 side side"]) -> Float[Tensor, "3 128 128"]:
        """The picture at 128 x 128 with its hole filled."""
        known, hole = resize_masked(picture, mask, (SIDE, SIDE))
        (filled,), (predicted,) = self.network(known[None], hole[None])
        filled = composite(known, filled.clamp(0, 1), hole)
        if not self.blend_border:
            return filled
        return seamless(filled, F.pad(predicted, [SIDE // 4] * 4), in_the_middle(hole))


class Telea:
    """Classical filling: Telea's fast marching (2004), from OpenCV."""

    def __init__(self) -> None:
        self.filler = filler("telea")
        self.weight_files: dict[str, Path] = {}

    def __call__(self, picture: Picture, mask: Float[Tensor, "1 side side"]) -> Float[Tensor, "3 128 128"]:
        """The picture at 128 x 128 with its hole filled."""
        known, hole = resize_masked(picture, mask, (SIDE, SIDE))
        return diffuse(known, hole) if hole.all() else fill(known, hole, self.filler)  # there: nothing to march from


class Given:
    """Another program's result, or any picture of the photo's size."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path = path
        with opened(path, max_pixels) as image:
            self.pixels = np.array(to_rgb(image))
        self.weight_files: dict[str, Path] = {}

    def part(self, window: Window, size: tuple[int, int]) -> FirstStage:
        """The first stage for that window of a photo of that height and width, which have to be the given picture's."""
        height, width = self.pixels.shape[:2]
        if (height, width) != size:
            raise UserError(
                f"{self.path} is {width} x {height} pixels but the photo is {size[1]} x {size[0]}: "
                "a picture given as the first stage must have the photo's size."
            )
        return fixed(torch.from_numpy(window.cut(self.pixels)).permute(2, 0, 1) / 255)


def fixed(prediction: Picture) -> FirstStage:
    """The first stage that predicts this, whatever it is asked."""
    return lambda picture, mask: prediction.to(picture)


def smooth(picture: Picture, mask: Mask) -> Picture:
    """The first stage of what is fine, at the picture's own size: biharmonic, which carries edges and shades on.

    What is thicker than twice `FINE` and lies beside it is filled by diffusion.
    """
    hole = mask[0].cpu().numpy() > 0
    labels, number = ndimage.label(hole, EVERY_NEIGHBOUR)
    depths = ndimage.maximum(ndimage.distance_transform_edt(np.pad(hole, 1))[1:-1, 1:-1], labels, range(number + 1))
    fine = torch.from_numpy(hole & (np.asarray(depths) <= FINE)[labels]).to(mask)[None]
    if not fine.any():
        return diffuse(picture, mask)
    return fill(composite(picture, diffuse(picture, mask), mask - fine), fine, "biharmonic")


def varied(first_stage: FirstStage, seed: int) -> FirstStage:
    """The first stage with blots added to its prediction, so coarse that no smoothing takes them away.

    Their colours are drawn with the covariance of what the known picture has beside its own blur, times `VARIETY`: on
    a sea they are a little lighter or darker, not of the sky's blue; where the picture is flat there are none.
    """

    def predict(picture: Picture, mask: Mask) -> Tensor:
        prediction = first_stage(picture, mask)
        known, hole = resize_masked(picture, mask, (SIDE, SIDE))
        whole = diffuse(known, hole)
        own = (whole - blurred(whole, SIDE / 8))[:, hole[0] == 0].cpu()
        variances, axes = torch.linalg.eigh(own @ own.T / max(own.shape[1], 1))
        drawn = torch.randn(3, 16 * 16, generator=torch.Generator().manual_seed(seed))
        blots = VARIETY * (axes * variances.clamp(min=0).sqrt()) @ drawn
        size = (prediction.shape[-2], prediction.shape[-1])
        return (prediction + resize(blots.view(3, 16, 16), size).to(prediction)).clamp(0, 1)

    return predict


def first_stage(
    content: str | Path | None = None, max_pixels: int = MAX_PIXELS, blend_border: bool = True
) -> Network | Exported | Telea | Given:
    """The first stage by its name or file.

    Args:
        content: "starter" (the network that ships with this package), "telea", a checkpoint of `inpaint.train`, an
            .onnx file (see `OnnxNetwork`), or a picture; None is the starter where it is there, else "telea".
        max_pixels: a picture that declares more is refused.
        blend_border: see `predict`.

    Raises:
        UserError: there is no such choice or file; the file is no content network or no picture; OpenCV, or for an
            .onnx file ONNX Runtime, is missing.
    """
    if content is None:
        content = "starter" if STARTER.is_file() else "telea"
    if content == "telea":
        return Telea()
    if content == "starter" and not STARTER.is_file():
        raise UserError("This copy of the package has no starter network: choose telea, or a checkpoint of yours.")
    path = STARTER if content == "starter" else Path(content)
    if not path.is_file():
        missing = f"{path} does not exist" if path.suffix else f"There is no first stage {str(content)!r}"
        choices = "starter, telea, the path of a network (.ckpt, .safetensors, .onnx), or the path of a picture"
        raise UserError(f"{missing}: choose {choices}.")
    if path.suffix.lower() == ".onnx":
        return Exported(path, blend_border)
    return Network(path, blend_border) if path.suffix.lower() in CHECKPOINTS else Given(path, max_pixels)

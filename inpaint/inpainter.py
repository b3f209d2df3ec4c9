"""Both stages for one picture of any size with holes of any shape: what the command and every other front end share."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from inpaint.configuration import read_preset
from inpaint.errors import UserError
from inpaint.first_stage import first_stage
from inpaint.images import composite, resize, resize_masked, write_picture
from inpaint.photos import (
    MAX_PIXELS,
    Photo,
    array_mask,
    blend,
    checked_mask,
    from_image,
    from_rgb,
    marks,
    read_mask,
    read_photo,
    to_rgb,
    upright,
)
from inpaint.refinement.features import Box, load_vgg
from inpaint.refinement.patches import geometry
from inpaint.refinement.pyramid import SMALLEST, Report, Settings, refine
from inpaint.removal import Piece, Window, pieces, scales_of, soften, span

DILATE = 8  # pixels: objects have soft edges and shadows
FEATHER = 4  # pixels
MAX_SIDE = 2048  # pixels of a window
SURROUNDINGS = 256  # pixels around a hole in which its texture is looked for
NOISE = 0.05  # standard deviation, of what another seed adds to the prediction

PictureLike = str | Path | Image.Image | np.ndarray | Tensor
Progress = Callable[[float], None]


@dataclass
class Hole:
    """What was done for one hole.

    Attributes:
        box: left, top, right, bottom in the photo.
        window: left, top, side of the square that was looked at.
        working_side: the side at which it was refined (smaller than the window's if that was too large).
        content_seconds: of the first stage.
        scales: of the refinement; none if the hole leaves no patch to learn from.
    """

    box: tuple[int, int, int, int]
    window: tuple[int, int, int]
    working_side: int
    content_seconds: float
    scales: list[Report]

    def to_json(self) -> dict[str, Any]:
        def terms(energies: Any) -> dict[str, float]:
            return {name: float(value[0]) for name, value in energies._asdict().items()}

        return {
            "box": self.box,
            "window": self.window,
            "working_side": self.working_side,
            "content_seconds": self.content_seconds,
            "scales": [
                {
                    "size": report.size,
                    "seconds": report.seconds,
                    "iterations": report.iterations,
                    "energies_before": terms(report.before),
                    "energies_after": terms(report.after),
                }
                for report in self.scales
            ],
        }


class Inpainter:
    """Fills holes in photos: the first stage, then the refinement, for each hole in a window of its own.

    One instance fills any number of photos; its networks are read once.

    Args:
        content: the first stage, see `first_stage`; None is the best that is there.
        preset: of the refinement, a file of `conf/model/preset`.
        alpha: the weight of texture, instead of the preset's.
        seed: 0 starts from the prediction itself; any other adds a little noise to it, for another fill.
        device: auto, cpu, cuda, cuda:<n> or mps.
        max_side: windows with more pixels a side are refined at this size and enlarged; time and memory grow with it.

    Raises:
        UserError: a choice that there is not; a file that cannot be read; a device that is not there.

    Example:
        >>> from inpaint import Inpainter
        >>> Inpainter().fill("photo.jpg", "mask.png").save("filled.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        content: str | Path | None = None,
        preset: str = "default",
        *,
        alpha: float | None = None,
        seed: int = 0,
        device: str = "auto",
        max_side: int = MAX_SIDE,
    ) -> None:
        if max_side < 128:
            raise UserError(f"max_side is {max_side}, but has to be at least 128 pixels.")
        values = read_preset(preset) | ({} if alpha is None else {"alpha": alpha})
        self.settings = Settings(**values)
        self.seed, self.max_side = seed, max_side
        self.device = find_device(device)
        self.first_stage = first_stage(content)
        self.vgg = load_vgg().on(self.device)
        self.weight_files = self.vgg.weight_files | self.first_stage.weight_files

    def fill(
        self,
        photo: PictureLike,
        mask: PictureLike,
        *,
        invert: bool = False,
        dilate: int = DILATE,
        feather: int = FEATHER,
        max_pixels: int = MAX_PIXELS,
    ) -> Image.Image:
        """The photo, upright, with what the mask marks filled; every pixel outside is as it was.

        Args:
            photo: a file, a Pillow image, an array [height, width] or [height, width, channels] of 8 or 16 bits or of
                floats in [0, 1], or a tensor [3, height, width] in [0, 1].
            mask: what is white is filled: any of these, of the photo's size.
            invert: what is black is filled.
            dilate: pixels by which what is marked is enlarged.
            feather: pixels over which, beyond that, the fill fades into the photo.

        Returns:
            A Pillow image (8 bits a channel; grey may have 16), EXIF, ICC profile and the like in its `info`.

        Raises:
            UserError: photo or mask cannot be read, sizes differ, the mask is empty or full, memory does not suffice.
        """
        own = as_photo(photo, max_pixels)
        marked = as_mask(mask, own.size, invert, max_pixels)
        return self.fill_photo(own, marked, dilate=dilate, feather=feather)[0].to_image()

    def fill_photo(
        self,
        photo: Photo,
        marked: Bool[np.ndarray, "height width"],
        *,
        dilate: int = DILATE,
        feather: int = FEATHER,
        progress: Progress | None = None,
        intermediates: Path | None = None,
    ) -> tuple[Photo, list[Hole]]:
        """As `fill`, with what was done for each hole.

        Args:
            progress: called with the share of the work that is done, in [0, 1].
            intermediates: a folder for each hole's input, prediction and scales.
        """
        for name, value in (("dilate", dilate), ("feather", feather)):
            if value < 0:
                raise UserError(f"{name} is {value}, but has to be at least 0 pixels.")
        checked_mask(marked, photo.size, "The mask")
        weights = soften(marked, dilate, feather)
        unknown = weights > 0
        if unknown.all():
            raise UserError(
                f"With {dilate} pixels of --dilate and {feather} of --feather the mask covers the whole photo, which "
                "leaves nothing to fill from: lower them, or mark less."
            )
        todo = pieces(unknown)
        work = np.cumsum([0.0, *(effort(piece) for piece in todo)])
        work /= work[-1]
        pixels, holes = photo.pixels.copy(), []
        try:
            for number, piece in enumerate(todo):

                def done(share: float, start: float = work[number], end: float = work[number + 1]) -> None:
                    if progress is not None:
                        progress(float(start + share * (end - start)))

                folder = intermediates / f"hole_{number + 1:03}" if intermediates else None
                filled, hole = self._fill_piece(pixels, photo.mode, unknown, piece, done, folder)
                at = span(piece.box)
                colours = pixels[at][..., : photo.colours]
                colours[:] = blend(colours, from_rgb(filled, photo.mode), weights[at] * piece.own)
                unknown[at] &= ~piece.own  # from now on a part of the picture
                holes.append(hole)
                done(1.0)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise UserError(
                    "Memory does not suffice: lower --max-side (max_side), which bounds the part of the photo that is "
                    f"worked on at once (now {self.max_side} pixels a side)."
                ) from None
            raise
        return photo.with_pixels(pixels), holes

    def _fill_piece(
        self,
        pixels: np.ndarray,
        mode: str,
        unknown: Bool[np.ndarray, "height width"],
        piece: Piece,
        progress: Progress,
        folder: Path | None,
    ) -> tuple[Float[Tensor, "1 3 rows columns"], Hole]:
        """The piece's box, filled."""
        window = Window.around(piece.box)
        picture = to_rgb(window.cut(pixels), mode).to(self.device)
        mask = torch.from_numpy(window.cut(unknown)).float()[None, None].to(self.device)
        side = min(window.side, self.max_side)
        if side < window.side:
            picture, mask = resize_masked(picture, mask, (side, side))

        began = time.perf_counter()
        prediction = self.first_stage(picture, mask, window, unknown.shape)
        if self.seed:
            noise = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(self.seed))
            prediction = (prediction + NOISE * noise.to(prediction)).clamp(0, 1)
        content_seconds = time.perf_counter() - began

        at = Box(
            piece.box.top - window.top,
            piece.box.left - window.left,
            piece.box.bottom - window.top,
            piece.box.right - window.left,
        )
        # The refinement looks at less than the window. What is mirrored was needed to move the hole to the centre, but
        # a hole at the picture's border would be optimised twice; and large holes find their texture close by.
        ratio = side / window.side
        inside = scaled(window.within(unknown.shape, int(SMALLEST / ratio) + 1), ratio)
        inside = scaled(at, ratio).grown(SURROUNDINGS, (side, side)).intersection(inside)
        enlarged = composite(picture, resize(prediction, (side, side)), mask)
        filled, scales = self._refine(inside.of(picture), inside.of(mask), inside.of(enlarged), progress, folder)
        inside.of(enlarged).copy_(filled)
        if folder is not None:
            white = composite(picture, torch.ones_like(picture), mask)
            for name, x in (("input", white), ("prediction", prediction), ("filled", enlarged)):
                write_picture(x[0], folder / f"{name}.png")

        box = (piece.box.left, piece.box.top, piece.box.right, piece.box.bottom)
        hole = Hole(box, (window.left, window.top, window.side), side, content_seconds, scales)
        return at.of(resize(enlarged, (window.side, window.side))), hole

    def _refine(
        self, picture: Tensor, mask: Tensor, prediction: Tensor, progress: Progress, folder: Path | None
    ) -> tuple[Float[Tensor, "1 3 height width"], list[Report]]:
        """Stage 2, in as many scales as the hole leaves patches to learn from at; with none, the prediction."""
        scales = scales_of(max(picture.shape[-2:]))
        while scales and not self._can_learn(picture, mask, scales):
            scales -= 1
        if not scales:
            return composite(picture, prediction, mask), []
        costs = np.cumsum([0.0, *(4.0**scale for scale in range(scales))])

        def after(number: int, report: Report, result: Tensor) -> None:
            progress(costs[number + 1] / costs[-1])
            if folder is not None:
                write_picture(result[0], folder / f"scale_{report.size[1]}.png")

        return refine(picture, mask, prediction, self.vgg, replace(self.settings, scales=scales), after)

    def _can_learn(self, picture: Tensor, mask: Tensor, scales: int) -> bool:
        """Whether every scale has the pixels and the clear patches that the refinement needs."""
        for level in range(scales):
            size = (picture.shape[-2] >> level, picture.shape[-1] >> level)
            if min(size) < SMALLEST:
                return False
            _, hole = resize_masked(picture, mask, size) if level else (picture, mask)
            try:
                for layer in self.settings.layers:
                    geometry(hole[0], self.vgg.strides[layer])
            except UserError:
                return False
        return True


def scaled(box: Box, ratio: float) -> Box:
    return Box(*(round(edge * ratio) for edge in box))


def effort(piece: Piece) -> float:
    """About in proportion to the time that a piece takes."""
    return 128**2 + max(piece.box.size) ** 2


def find_device(name: str) -> torch.device:
    """Raises:
    UserError: there is no such device, here or at all.
    """
    if name == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UserError(f"There is no device {name!r}: choose auto, cpu, cuda, cuda:<number> or mps.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(
            f"There is no device {name} here ({torch.cuda.device_count()} CUDA devices are): choose auto or cpu."
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("There is no device mps here: choose auto or cpu.")
    return torch.device(name)


def as_photo(photo: PictureLike, max_pixels: int) -> Photo:
    """A photo from whatever holds one, see `Inpainter.fill`."""
    if isinstance(photo, str | Path):
        return read_photo(photo, max_pixels)
    if isinstance(photo, Image.Image):
        return upright(from_image(photo))
    if isinstance(photo, Tensor):
        photo = photo.detach().cpu().movedim(-3, -1).numpy() if photo.ndim == 3 else photo.detach().cpu().numpy()
    pixels = photo[..., None] if photo.ndim == 2 else photo
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    if mode is None or not pixels.size:
        raise UserError(
            f"The photo has the shape {tuple(photo.shape)}: an array has height, width and 1 to 4 channels, "
            "a tensor 1 to 4 channels, height and width."
        )
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            raise UserError("The photo holds values that are not finite (NaN or infinity).")
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UserError(f"The photo's values are {pixels.dtype}: give uint8, uint16 or floats in [0, 1].")
    return Photo(pixels, mode)


def as_mask(
    mask: PictureLike, size: tuple[int, int], invert: bool, max_pixels: int
) -> Bool[np.ndarray, "height width"]:
    """A mask from whatever holds one, see `Inpainter.fill`."""
    if isinstance(mask, str | Path):
        return read_mask(mask, size, invert, max_pixels)
    marked = marks(mask) if isinstance(mask, Image.Image) else array_mask(mask)
    return checked_mask(~marked if invert else marked, size, "The mask")

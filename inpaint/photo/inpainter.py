"""Both stages for one picture of any size with holes of any shape: what the command and every other front end share."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.reading import write_picture
from inpaint.imaging.smooth import calmed
from inpaint.photo.defaults import DILATE, FEATHER, MAX_PIXELS, MAX_SIDE
from inpaint.photo.files import PictureLike, as_photo
from inpaint.photo.first_stage import Given, first_stage
from inpaint.photo.masks import as_mask, checked_mask
from inpaint.photo.photo import Photo, blend, from_rgb, to_rgb
from inpaint.photo.windows import Piece, Window, pieces, scales_of, soften, span
from inpaint.refinement.matching import geometry
from inpaint.refinement.pyramid import SMALLEST, refine
from inpaint.refinement.scale import Progress, Report
from inpaint.refinement.settings import Settings, read_preset
from inpaint.vgg import load_vgg

SURROUNDINGS = 256  # pixels around a hole in which its texture is looked for
OUT_OF_MEMORY = re.compile("can't allocate memory|bad_alloc|out of memory|ALLOC_FAILED")  # as torch and others say it
NOISE = 0.1  # standard deviation, of what another seed adds to the prediction


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
        max_pixels: files that declare more are refused.

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
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if max_side < 128:
            raise UserError(f"max_side is {max_side}, but has to be at least 128 pixels.")
        values = read_preset(preset) | ({} if alpha is None else {"alpha": alpha})
        self.settings = Settings(**values)
        if not np.isfinite(self.settings.alpha):
            raise UserError(f"alpha is {alpha}, but has to be a finite number.")
        if not 0 <= seed < 2**63:
            raise UserError(f"seed is {seed}, but has to be at least 0 and below 2 to the power of 63.")
        self.seed, self.max_side, self.max_pixels = seed, max_side, max_pixels
        self.device = find_device(device)
        self.first_stage = first_stage(content, max_pixels)
        if isinstance(self.first_stage, Given):  # a picture has no grid to be smoothed away
            self.settings = replace(self.settings, smooth=0)
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
    ) -> Image.Image:
        """The photo, upright, with what the mask marks filled; every pixel outside is as it was.

        Args:
            photo: a file, a Pillow image, an array [height, width] or [height, width, channels] of 8 or 16 bits or of
                floats in [0, 1], or a tensor [channels, height, width] of the same.
            mask: what is white is filled: any of these, of the photo's size, or an array of bool or of 0 and 1.
            invert: what is black is filled.
            dilate: pixels by which what is marked is enlarged.
            feather: pixels over which, beyond that, the fill fades into the photo.

        Returns:
            A Pillow image (8 bits a channel; grey may have 16), EXIF, ICC profile and the like in its `info`.

        Raises:
            UserError: photo or mask cannot be read, sizes differ, the mask is empty or full, memory does not suffice.
        """
        own = as_photo(photo, self.max_pixels)
        marked = as_mask(mask, own.size, invert, self.max_pixels)
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
        if weights.all():
            raise UserError(
                f"With {dilate} pixels of --dilate and {feather} of --feather the mask covers the whole photo, which "
                "leaves nothing to fill from: lower them, or mark less."
            )
        try:
            return self._fill_holes(photo, weights, progress, intermediates)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError | torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise UserError(
                    "Memory does not suffice: lower --max-side (max_side), which bounds the part of the photo that is "
                    f"worked on at once (now {self.max_side} pixels a side)."
                ) from None
            raise

    def _fill_holes(
        self,
        photo: Photo,
        weights: UInt8[np.ndarray, "height width"],
        progress: Progress | None,
        intermediates: Path | None,
    ) -> tuple[Photo, list[Hole]]:
        unknown = weights > 0
        # The refinement's cost is that of the box around all that is unknown in its window. Thin holes can be hundreds,
        # so the first stage fills them all before, and each is alone when its turn comes.
        todo = pieces(unknown)
        steps = [(piece, None) for piece in todo if piece.thin] + [(piece, self._settings_for(piece)) for piece in todo]
        work = np.cumsum([0.0, *(effort(piece, settings is not None) for piece, settings in steps)])
        work /= work[-1]
        pixels = photo.pixels.copy()
        holes: list[Hole] = []
        for number, (piece, settings) in enumerate(steps):

            def done(share: float, start: float = work[number], end: float = work[number + 1]) -> None:
                if progress is not None:
                    progress(float(start + share * (end - start)))

            at = span(piece.box)
            unknown[at] |= piece.own
            folder = intermediates / f"hole_{len(holes) + 1:03}" if intermediates and settings else None
            filled, hole = self._fill_piece(pixels, photo.mode, unknown, piece, settings, done, folder)
            share = weights[at] if settings else np.full(piece.own.shape, 255, dtype=np.uint8)
            new = blend(photo.pixels[at][..., : photo.colours], from_rgb(filled, photo.mode), share)
            pixels[at][..., : photo.colours][piece.own] = new[piece.own]
            unknown[at] &= ~piece.own  # from now on a part of the picture
            if settings:
                holes.append(hole)
            done(1.0)
        return photo.with_pixels(pixels), holes

    def _fill_piece(
        self,
        pixels: np.ndarray,
        mode: str,
        unknown: Bool[np.ndarray, "height width"],
        piece: Piece,
        settings: Settings | None,
        progress: Progress,
        folder: Path | None,
    ) -> tuple[Float[Tensor, "1 3 rows columns"], Hole]:
        """The piece's box, filled; without settings by the first stage alone."""
        window = Window.around(piece.box)
        picture = to_rgb(window.cut(pixels), mode).to(self.device)
        mask = torch.from_numpy(window.cut(unknown)).float()[None, None].to(self.device)
        side = min(window.side, self.max_side)
        if side < window.side:
            picture, mask = resize_masked(picture, mask, (side, side))

        began = time.perf_counter()
        prediction = self.first_stage(picture, mask, window, unknown.shape)
        if self.seed:
            generator = torch.Generator().manual_seed(self.seed)
            blots = torch.randn(1, 3, 16, 16, generator=generator)  # so coarse that no smoothing takes them away
            noise = resize(blots, (prediction.shape[-2], prediction.shape[-1])).to(prediction)
            prediction = (prediction + NOISE * noise).clamp(0, 1)
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
        scales: list[Report] = []
        if settings is not None:
            given = inside.of(picture), inside.of(mask), inside.of(enlarged)
            filled, scales = self._refine(*given, settings, progress, folder)
            inside.of(enlarged).copy_(filled)
            enlarged = calmed(enlarged, mask)
        if folder is not None:
            white = composite(picture, torch.ones_like(picture), mask)
            for name, x in (("input", white), ("prediction", prediction), ("filled", enlarged)):
                write_picture(x[0], folder / f"{name}.png")

        box = (piece.box.left, piece.box.top, piece.box.right, piece.box.bottom)
        hole = Hole(box, (window.left, window.top, window.side), side, content_seconds, scales)
        return at.of(resize(enlarged, (window.side, window.side))), hole

    def _settings_for(self, piece: Piece) -> Settings:
        """The preset's; for a thin piece only its finest layers: the others' patches are as large as the piece."""
        if not piece.thin:
            return self.settings
        finest = min(self.vgg.strides[layer] for layer in self.settings.layers)
        return replace(
            self.settings, layers=tuple(name for name in self.settings.layers if self.vgg.strides[name] == finest)
        )

    def _refine(
        self,
        picture: Tensor,
        mask: Tensor,
        prediction: Tensor,
        settings: Settings,
        progress: Progress,
        folder: Path | None,
    ) -> tuple[Float[Tensor, "1 3 height width"], list[Report]]:
        """Stage 2, in as many scales as the hole leaves patches to learn from at; with none, the prediction."""
        scales = scales_of(max(picture.shape[-2:]))
        while scales and not self._can_learn(picture, mask, settings.layers, scales):
            scales -= 1
        if not scales:
            return composite(picture, prediction, mask), []

        def after(number: int, report: Report, result: Tensor) -> None:
            if folder is not None:
                write_picture(result[0], folder / f"scale_{report.size[1]}.png")

        return refine(picture, mask, prediction, self.vgg, replace(settings, scales=scales), after, progress)

    def _can_learn(self, picture: Tensor, mask: Tensor, layers: Sequence[str], scales: int) -> bool:
        """Whether every scale has the pixels and the clear patches that the refinement needs."""
        for level in range(scales):
            size = (picture.shape[-2] >> level, picture.shape[-1] >> level)
            if min(size) < SMALLEST:
                return False
            _, hole = resize_masked(picture, mask, size) if level else (picture, mask)
            try:
                for layer in layers:
                    geometry(hole[0], self.vgg.strides[layer])
            except UserError:
                return False
        return True


def scaled(box: Box, ratio: float) -> Box:
    return Box(*(round(edge * ratio) for edge in box))


def effort(piece: Piece, refined: bool) -> float:
    """About in proportion to the time that a piece takes."""
    return (128**2 + max(piece.box.size) ** 2) * (1 if refined else 0.03)


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

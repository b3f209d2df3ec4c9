"""The `Inpainter`: fills holes of any shape in a photo of any size, for the command and every other front end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.reading import write_picture
from inpaint.photo.defaults import DILATE, FEATHER, MAX_PIXELS, MAX_SIDE
from inpaint.photo.files import PictureLike, as_photo
from inpaint.photo.first_stage import Given, first_stage, varied
from inpaint.photo.masks import as_mask
from inpaint.photo.photo import Marked, Photo, blend, colours_from_rgb, rgb_from_pixels
from inpaint.photo.windows import Piece, Window, pieces, soften
from inpaint.precision import find_device
from inpaint.refinement.pyramid import SMALLEST, part_of
from inpaint.refinement.scale import OnProgress, ScaleReport
from inpaint.refinement.settings import preset as load_preset
from inpaint.refinement.stages import inpaint
from inpaint.vgg import load_vgg

OUT_OF_MEMORY = re.compile("can't allocate memory|bad_alloc|out of memory|ALLOC_FAILED")  # as torch and others say it


@dataclass
class Hole:
    """What was done for one hole."""

    box: Box  # in the photo
    window: Window  # the square that was looked at; it may reach beyond the photo
    working_side: int  # at which it was refined: smaller than the window's if that was too large
    content_seconds: float  # that the first stage took
    scales: list[ScaleReport]  # of the refinement; none if the hole leaves no patch to learn from

    def to_json(self) -> dict[str, Any]:
        """The same in plain values: `box` is left, top, right, bottom, `window` is left, top, side."""
        scales = [
            {
                "size": scale.size,
                "seconds": scale.seconds,
                "iterations": scale.iterations,
                "energies_before": scale.before and scale.before.values(),
                "energies_after": scale.after and scale.after.values(),
            }
            for scale in self.scales
        ]
        return {**vars(self), "scales": scales}


def check_seeds(first: int, number: int) -> None:
    """Checks that there are that many variants, whose seeds begin at `first`, else raises a UserError."""
    if number < 1:
        raise UserError(f"variants is {number}, but has to be at least 1.")
    for seed in (first, first + number - 1):
        if not 0 <= seed < 2**63:
            raise UserError(f"seed is {seed}, but has to be at least 0 and below 2 to the power of 63.")


class Inpainter:
    """Fills holes in any number of photos: by the first stage, then the refinement, each in a window of its own.

    Args:
        content: the first stage, see `first_stage`; None is the best that is there.
        preset: of the refinement, a file of `conf/model/preset`.
        alpha: the weight of texture, instead of the preset's.
        seed: 0 starts from the prediction itself; any other adds blots to it, in the colours around, for another fill.
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
        self.settings = load_preset(preset, **({} if alpha is None else {"alpha": alpha}))
        check_seeds(seed, 1)
        self.seed, self.max_side, self.max_pixels = seed, max_side, max_pixels
        self.device = find_device(device)
        self.first_stage = first_stage(content, max_pixels, self.settings.blend_border)
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
        return next(self.variants(photo, mask, 1, invert=invert, dilate=dilate, feather=feather))

    def variants(
        self,
        photo: PictureLike,
        mask: PictureLike,
        number: int,
        *,
        invert: bool = False,
        dilate: int = DILATE,
        feather: int = FEATHER,
    ) -> Iterator[Image.Image]:
        """As `fill`, as many fills as `number` says: the first with the own seed, each further one with the next.

        Photo and mask are read at once, once for all; each fill is made when it is asked for.
        """
        check_seeds(self.seed, number)
        own = as_photo(photo, self.max_pixels)
        marked = as_mask(mask, own.size, invert, self.max_pixels)
        return (
            self.fill_photo(own, marked, dilate=dilate, feather=feather, seed=seed)[0].to_image()
            for seed in range(self.seed, self.seed + number)
        )

    def fill_photo(
        self,
        photo: Photo,
        marked: Marked,
        *,
        dilate: int = DILATE,
        feather: int = FEATHER,
        seed: int | None = None,
        on_progress: OnProgress | None = None,
        intermediates: Path | None = None,
    ) -> tuple[Photo, list[Hole]]:
        """As `fill`, of what `as_mask` marks; with what was done for each hole.

        Args:
            seed: of this fill; None is the own one.
            on_progress: called with the share of the work that is done, in [0, 1].
            intermediates: a folder for each hole's input, prediction and scales.
        """
        for name, value in (("dilate", dilate), ("feather", feather)):
            if value < 0:
                raise UserError(f"{name} is {value}, but has to be at least 0 pixels.")
        seed = self.seed if seed is None else seed
        check_seeds(seed, 1)
        weights = soften(marked, dilate, feather)
        if weights.all():
            raise UserError(
                f"With {dilate} pixels of --dilate and {feather} of --feather the mask covers the whole photo, which "
                "leaves nothing to fill from: lower them, or mark less."
            )
        try:
            return self._fill_holes(photo, weights, seed, on_progress, intermediates)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError | torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise UserError(
                    "Memory does not suffice: lower --max-side (max_side), which bounds the part of the photo that is "
                    f"worked on at once (now {self.max_side} pixels a side)."
                ) from None
            raise

    def _fill_holes(
        self, photo: Photo, weights: np.ndarray, seed: int, on_progress: OnProgress | None, intermediates: Path | None
    ) -> tuple[Photo, list[Hole]]:
        unknown = weights > 0
        # The refinement's cost is that of the box around all that is unknown in its window. Thin holes can be hundreds,
        # so the first stage fills them all before, and each is alone when its turn comes.
        todo = pieces(unknown)
        steps = [(piece, False) for piece in todo if piece.thin] + [(piece, True) for piece in todo]
        work = np.cumsum([0.0, *((128**2 + max(p.box.size) ** 2) * (1 if refined else 0.03) for p, refined in steps)])
        work /= work[-1]  # about in proportion to the seconds
        result, colours = replace(photo, pixels=photo.pixels.copy()), slice(photo.colours)
        holes: list[Hole] = []
        for number, (piece, refined) in enumerate(steps):
            share = part_of(on_progress, float(work[number]), float(work[number + 1] - work[number]))
            at = piece.box.slices
            unknown[at] |= piece.own
            folder = intermediates / f"hole_{len(holes) + 1:03}" if intermediates else None
            filled, hole = self._fill_piece(result, unknown, piece, refined, seed, share, folder)
            if hole is not None:
                holes.append(hole)
            weight = weights[at] if refined else np.full_like(weights[at], 255)
            new = blend(photo.pixels[at][..., colours], colours_from_rgb(filled, photo.mode), weight)
            result.pixels[at][..., colours][piece.own] = new[piece.own]
            unknown[at] &= ~piece.own  # from now on a part of the picture
            share(1.0)
        return result, holes

    def _fill_piece(
        self,
        photo: Photo,
        unknown: Marked,
        piece: Piece,
        refined: bool,
        seed: int,
        on_progress: OnProgress,
        folder: Path | None,
    ) -> tuple[Float[Tensor, "3 rows columns"], Hole | None]:
        """The piece's box filled, by the first stage alone or by both stages; with what was done, if it was by both."""
        window = Window.around(piece.box)
        picture = rgb_from_pixels(window.cut(photo.pixels), photo.mode).to(self.device)
        mask = torch.from_numpy(window.cut(unknown)).float()[None].to(self.device)
        if window.side > self.max_side:
            picture, mask = resize_masked(picture, mask, (self.max_side, self.max_side))
        own, at, side = self.first_stage, piece.box.within(window.box), picture.shape[-1]
        first_stage = own.part(window, photo.size) if isinstance(own, Given) else own
        if seed:
            first_stage = varied(first_stage, seed)
        if not refined:
            with torch.no_grad():
                prediction = resize(first_stage(picture, mask), (side, side))
            return at.of(resize(composite(picture, prediction, mask), (window.side, window.side))), None

        def save(name: str, x: Tensor) -> None:
            if folder is not None:
                write_picture(x, folder / f"{name}.png")

        settings = self.settings
        if piece.thin:  # only the finest layers: patches of the others hardly fit beside it
            finest = min(self.vgg.strides[layer] for layer in settings.layers)
            settings = replace(settings, layers=tuple(n for n in settings.layers if self.vgg.strides[n] == finest))
            if settings.voting_scales != 0:
                settings = replace(settings, voting_scales=2, detail=True, gradient_scales=0)
        ratio = side / window.side
        # What is mirrored was needed to move the hole to the centre; but a hole at the photo's border would be there,
        # and be optimised, twice.
        real = window.inside(photo.size, int(SMALLEST / ratio) + 1).scaled(ratio)
        filled = inpaint(
            picture,
            mask,
            first_stage,
            self.vgg,
            settings,
            hole=at.scaled(ratio),
            real=real,
            on_scale=lambda number, scale, result: save(f"scale_{scale.size[1]}", result),
            on_progress=on_progress,
        )
        save("input", composite(picture, torch.ones_like(picture), mask))
        save("prediction", filled.prediction)
        save("filled", filled.refined)
        hole = Hole(piece.box, window, side, filled.content_seconds, filled.scales)
        return at.of(resize(filled.refined, (window.side, window.side))), hole

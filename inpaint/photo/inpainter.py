"""The `Inpainter`: fills holes of any shape in a photo of any size, for the command and every other front end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from inpaint.errors import UserError
from inpaint.imaging.box import Box
from inpaint.imaging.marked import Marked
from inpaint.imaging.pixels import composite, resize, resize_masked
from inpaint.imaging.reading import write_picture
from inpaint.photo.canvas import Margins, expanded
from inpaint.photo.cmyk import black_share, through
from inpaint.photo.defaults import MAX_PIXELS, MAX_SIDE
from inpaint.photo.enlarge import Enlarged, enlarge
from inpaint.photo.files import PictureLike, as_photo
from inpaint.photo.first_stage import Given, first_stage, fixed, smooth, varied
from inpaint.photo.masks import as_mask
from inpaint.photo.photo import Photo, blend, colours_from_rgb, rgb_from_pixels
from inpaint.photo.ring import alpha_around, few_colours, nearest_of, one_colour
from inpaint.photo.windows import Piece, Window, pieces, strips, together
from inpaint.precision import find_device
from inpaint.refinement.pyramid import SMALLEST, part_of
from inpaint.refinement.scale import OnProgress, ScaleReport
from inpaint.refinement.settings import preset as load_preset
from inpaint.refinement.stages import FirstStage, inpaint
from inpaint.vgg import load_vgg

OUT_OF_MEMORY = re.compile("can't allocate memory|bad_alloc|out of memory|ALLOC_FAILED")  # as torch and others say it


@dataclass
class Hole:
    """What was done for one hole."""

    box: Box  # in the photo as it is written
    window: Window  # the square that was looked at; it may reach beyond the photo
    working_side: int  # at which it was refined: smaller than the window's if that was too large
    content_seconds: float  # that the first stage took
    scales: list[ScaleReport]  # of the refinement; none if the hole leaves no patch to learn from, or is flat
    flat: bool = False  # whether it has the one colour that its ring has

    def moved(self, right: int, down: int) -> "Hole":
        """The same on a canvas that grew by so much on the left and above."""
        window = self.window._replace(left=self.window.left + right, top=self.window.top + down)
        return replace(self, box=self.box.moved(right, down), window=window)

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


class FilledPhoto(NamedTuple):
    """A photo whose holes are filled, and what was done for it."""

    photo: Photo
    holes: list[Hole]
    mask: Enlarged | None  # as it was used; None if the canvas alone was filled


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
        content: the first stage: starter, telea, a checkpoint, an .onnx file or a picture; None is starter.
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
        mask: PictureLike | None = None,
        *,
        invert: bool = False,
        dilate: int | None = None,
        feather: int | None = None,
        expand: str | None = None,
    ) -> Image.Image:
        """The photo, upright, with what the mask marks filled; every pixel outside is as it was.

        Args:
            photo: a file, a Pillow image, an array [height, width] or [height, width, channels] of 8 or 16 bits or of
                floats in [0, 1], or a tensor [channels, height, width] of the same.
            mask: what is white is filled: any of these, of the photo's size, or an array of bool or of 0 and 1;
                "alpha": the photo's own clear pixels are. Without a mask the canvas alone is filled, see `expand`.
            invert: what is black is filled.
            dilate: pixels by which what is marked is enlarged; None follows its thickness, see `enlarge`.
            feather: pixels over which, beyond that, the fill fades into the photo; None likewise.
            expand: "LEFT,TOP,RIGHT,BOTTOM", in pixels or per cent: the canvas grows by so much, and is filled.

        Returns:
            A Pillow image (8 bits a channel; grey may have 16), EXIF, ICC profile and the like in its `info`.

        Raises:
            UserError: photo or mask cannot be read or understood, sizes differ, the mask is empty or full, there is
                neither a mask nor more canvas, memory does not suffice.
        """
        return next(self.variants(photo, mask, 1, invert=invert, dilate=dilate, feather=feather, expand=expand))

    def variants(
        self,
        photo: PictureLike,
        mask: PictureLike | None = None,
        number: int = 3,
        *,
        invert: bool = False,
        dilate: int | None = None,
        feather: int | None = None,
        expand: str | None = None,
    ) -> Iterator[Image.Image]:
        """`number` fills as by `fill`: the first with this object's seed, each further one with the next seed.

        Photo and mask are read once, when this is called; each fill is made when it is asked for.
        """
        check_seeds(self.seed, number)
        if mask is None and expand is None:
            raise UserError("Nothing says what to fill: give a mask, or more canvas by expand.")
        own = as_photo(photo, self.max_pixels)
        marked = None
        if mask is not None:
            marked = as_mask(mask, own.size, invert, self.max_pixels, alpha=own.alpha)
        margins = None if expand is None else Margins.parse(expand)
        return (
            self.fill_photo(own, marked, dilate=dilate, feather=feather, margins=margins, seed=seed).photo.to_image()
            for seed in range(self.seed, self.seed + number)
        )

    def fill_photo(
        self,
        photo: Photo,
        marked: Marked | None,
        *,
        dilate: int | None = None,
        feather: int | None = None,
        margins: Margins | None = None,
        seed: int | None = None,
        on_progress: OnProgress | None = None,
        intermediates: Path | None = None,
    ) -> FilledPhoto:
        """As `fill`, of what `as_mask` marks; with what was done for each hole.

        Args:
            marked: None if the canvas alone is to be filled.
            margins: by how much the canvas grows.
            seed: of this fill; None is the own one.
            on_progress: called with the share of the work that is done, in [0, 1].
            intermediates: a folder for each hole's input, prediction and scales.
        """
        for name, value in (("dilate", dilate), ("feather", feather)):
            if value is not None and value < 0:
                raise UserError(f"{name} is {value}, but has to be at least 0 pixels.")
        seed = self.seed if seed is None else seed
        check_seeds(seed, 1)
        if margins is not None:
            margins.canvas(photo.size, self.max_pixels)  # refuses before any work
            if isinstance(self.first_stage, Given):
                raise UserError("A picture given as the first stage (--content) cannot be used with --expand.")
        holes: list[Hole] = []
        part = 1.0 if margins is None or marked is None else 0.5
        mask = None
        try:
            if marked is not None:
                mask = enlarge(marked, dilate, feather)
                mask.check_leaves()
                todo, progress = pieces(mask.weights > 0), part_of(on_progress, 0.0, part)
                photo = self._fill_pieces(photo, mask.weights, todo, holes, seed, progress, intermediates)
            if margins is not None:
                left, top, *_ = margins.box(photo.size)
                holes[:] = [hole.moved(left, top) for hole in holes]
                photo, canvas = expanded(photo, margins, self.max_pixels)
                weights = canvas.own.astype(np.uint8) * 255
                large = Window.around(canvas).side > self.max_side  # then it is filled at a smaller size first
                for number, todo in enumerate([[canvas], strips(canvas)] if large else [[canvas]]):
                    share = part / 2 if large else part
                    progress = part_of(on_progress, 1 - part + number * share, share)
                    photo = self._fill_pieces(photo, weights, todo, holes, seed, progress, intermediates)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError | torch.OutOfMemoryError) or OUT_OF_MEMORY.search(str(error)):
                raise UserError(
                    "Memory does not suffice: lower --max-side (max_side), which bounds the part of the photo that is "
                    f"worked on at once (now {self.max_side} pixels a side), or make the photo smaller."
                ) from None
            raise
        return FilledPhoto(photo, holes, mask)

    def _fill_pieces(
        self,
        photo: Photo,
        weights: UInt8[np.ndarray, "height width"],
        todo: list[Piece],
        holes: list[Hole],
        seed: int,
        on_progress: OnProgress,
        intermediates: Path | None,
    ) -> Photo:
        """The photo with these pieces of it filled, which together are all that has a weight; adds to `holes`."""
        all_holes, colours = weights > 0, slice(photo.colours)
        unknown, result, rest = all_holes.copy(), replace(photo, pixels=photo.pixels.copy()), []
        for piece in todo:
            flat = one_colour(photo.pixels[..., colours], all_holes, piece)
            if flat is None:
                rest.append(piece)
                continue
            result.pixels[piece.box.slices][..., colours][piece.own] = flat
            unknown[piece.box.slices] &= ~piece.own
            holes.append(Hole(piece.box, Window.around(piece), 0, 0.0, [], flat=True))
        rest = together(rest)
        # The refinement's cost is that of the box around all that is unknown in its window. Thin holes can be hundreds,
        # so the first stage fills them all before, and each is alone when its turn comes.
        first = [piece for piece in rest if piece.thin and piece.kind != "strip" and len(rest) > 1]
        steps = [(piece, False) for piece in first] + [(piece, True) for piece in rest]
        work = np.cumsum([0.0, *((128**2 + max(p.box.size) ** 2) * (1 if refined else 0.03) for p, refined in steps)])
        profile = photo.info.get("icc_profile", b"")
        for number, (piece, refined) in enumerate(steps):
            done, end = (float(part / work[-1]) for part in work[number : number + 2])  # in proportion to the seconds
            share = part_of(on_progress, done, end - done)
            at = piece.box.slices
            unknown[at] |= piece.own
            folder = intermediates / f"hole_{len(holes) + 1:03}" if intermediates else None
            filled, hole = self._fill_piece(result, unknown, piece, refined, seed, share, folder)
            if hole is not None:
                holes.append(hole)
            window = Window.around(piece)
            around, there = window.cut(result.pixels), ~window.cut(unknown)
            black = black_share(around[there]) if photo.mode == "CMYK" and through(profile) is None else 0.0
            fill = colours_from_rgb(filled, photo.mode, profile, black)
            weight = weights[at] if refined else np.full_like(weights[at], 255)
            if (few := few_colours(around[..., colours], ~there)) is not None:  # to fade would make further ones
                fill, weight = nearest_of(few, fill), np.where(weight < 128, 0, 255).astype(np.uint8)
            new = blend(photo.pixels[at][..., colours], fill, weight)
            result.pixels[at][..., colours][piece.own] = new[piece.own]
            unknown[at] &= ~piece.own  # from now on a part of the picture
            share(1.0)
        if photo.alpha is not None:
            result.pixels[..., -1] = alpha_around(photo.alpha, weights)
        return result

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
        window = Window.around(piece)
        profile = photo.info.get("icc_profile", b"")
        picture = rgb_from_pixels(window.cut(photo.pixels), photo.mode, profile).to(self.device)
        mask = torch.from_numpy(window.cut(unknown)).float()[None].to(self.device)
        whole = picture
        if window.side > self.max_side:
            picture, mask = resize_masked(picture, mask, (self.max_side, self.max_side))
        own, at, side = self.first_stage, piece.box.within(window.box), picture.shape[-1]
        first_stage: FirstStage = own.part(window, photo.size) if isinstance(own, Given) else own
        if piece.kind == "fine" and not isinstance(own, Given):
            first_stage = smooth
        elif piece.kind == "strip":  # what the whole canvas was filled with before
            first_stage = fixed(whole)
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
                if piece.kind == "fine":
                    settings = replace(settings, voting_rounds=1)
        if piece.kind == "canvas" and settings.voting_scales != 0:  # by eye the third scale's gradient adds but time
            settings = replace(settings, gradient_scales=0 if settings.gradient_scales == 0 else 2)
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
            most_scales=1 if piece.kind == "fine" else None,
            on_scale=lambda number, scale, result: save(f"scale_{scale.size[1]}", result),
            on_progress=on_progress,
        )
        save("input", composite(picture, torch.ones_like(picture), mask))
        save("prediction", filled.prediction)
        save("filled", filled.refined)
        hole = Hole(piece.box, window, side, filled.content_seconds, filled.scales)
        return at.of(resize(filled.refined, (window.side, window.side))), hole

"""What the pixels around a hole decide without any network: its transparency, and its colours where they are few."""

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from scipy import ndimage

from inpaint.imaging.marked import Marked
from inpaint.photo.enlarge import distance_from
from inpaint.photo.photo import blend
from inpaint.photo.windows import Piece, groups

RING = 4  # pixels: how far around a hole its ring reaches
FEW = 16  # colours: a drawing or a screenshot that has no more gets no others


def alpha_around(
    alpha: Shaped[np.ndarray, "height width"], weights: UInt8[np.ndarray, "height width"]
) -> Shaped[np.ndarray, "height width"]:
    """The transparency with each pixel of a hole as opaque as the nearest one outside it, faded in by the weights."""
    out = alpha.copy()
    for hole in groups(weights > 0):
        reach = hole.box.grown(1, alpha.shape)
        unknown = weights[reach.slices] > 0
        rows, columns = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
        old = out[reach.slices]
        new = old[rows, columns].astype(np.float32) / np.iinfo(alpha.dtype).max
        old[:] = blend(old[..., None], new[..., None], weights[reach.slices])[..., 0]
    return out


def one_colour(
    pixels: Shaped[np.ndarray, "height width colours"], unknown: Marked, piece: Piece
) -> Shaped[np.ndarray, " colours"] | None:
    """The colour of all known pixels in the ring around a piece; None where they have several."""
    ring = piece.box.grown(RING, unknown.shape)
    own = np.zeros(ring.size, dtype=bool)
    own[piece.box.within(ring).slices] = piece.own
    around = pixels[ring.slices][(distance_from(own, RING) <= RING) & ~unknown[ring.slices]]
    return around[0] if len(around) and (around == around[0]).all() else None


def few_colours(
    pixels: Shaped[np.ndarray, "rows columns colours"], unknown: Bool[np.ndarray, "rows columns"]
) -> Shaped[np.ndarray, "few colours"] | None:
    """The colours of all known pixels of a window; None if they are more than `FEW`."""
    places = 16 * np.arange(pixels.shape[-1], dtype=np.uint64)
    known = pixels[~unknown]
    for step in (97, 1):  # most pictures show it in a part of their pixels
        found = np.unique((known[::step].astype(np.uint64) << places).sum(-1))  # of one number each, which is quicker
        if not 0 < len(found) <= FEW:
            return None
    return (found[:, None] >> places & np.uint64(0xFFFF)).astype(pixels.dtype)


def nearest_of(
    few: Shaped[np.ndarray, "few colours"], new: Float[np.ndarray, "rows columns colours"]
) -> Float[np.ndarray, "rows columns colours"]:
    """Each colour, in [0, 1], replaced by the nearest of a few, which come in the photo's own numbers."""
    choices = few.astype(np.float32) / np.iinfo(few.dtype).max
    best, least = np.empty_like(new), np.full(new.shape[:2], np.inf, dtype=np.float32)
    for choice in choices:  # one at a time: all at once would take as many times the memory
        distance = ((new - choice) ** 2).sum(-1)
        best[distance < least] = choice
        least = np.minimum(least, distance)
    return best

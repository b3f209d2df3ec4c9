"""Classical fillings (Telea, Navier-Stokes, biharmonic, PatchMatch) as functions of a picture and a mask.

Other libraries compute them, each of which is imported only where it is asked for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from inpaint.errors import UserError
from inpaint.imaging.pixels import Mask, Picture, composite

RADIUS = 5  # of the neighbourhood from which OpenCV fills a pixel
PATCH = 7  # the radius of PatchMatch's patches, 15 x 15 pixels
Filler = Callable[[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]], UInt8[np.ndarray, "..."]]


def _library(module: str, name: str, extra: str) -> Any:
    """Imports a library, or raises a UserError that names the extra that brings it."""
    try:
        return import_module(module)
    except ImportError:
        raise UserError(
            f"This method of classical filling needs {name}, which is not there: "
            f"pip install 'neural-patch-synthesis[{extra}]'."
        ) from None


def _opencv(flag: str) -> Filler:
    """Telea's or the Navier-Stokes filling, by the name of OpenCV's flag."""
    cv2 = _library("cv2", "OpenCV", "classical")
    return lambda photo, mask: cv2.inpaint(photo, mask.astype(np.uint8), RADIUS, getattr(cv2, flag))


def _biharmonic() -> Filler:
    """The biharmonic filling of scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    return lambda photo, mask: (
        (inpaint_biharmonic(photo, mask, channel_axis=-1) * 255).round().clip(0, 255).astype("u1")
    )


def _patchmatch() -> Filler:
    """PyPatchMatch's completion, which needs its compiled library."""
    patchmatch = _library("patchmatch", "PyPatchMatch", "patchmatch")
    if not patchmatch.patchmatch_available:
        raise UserError(
            "PyPatchMatch is installed, but its compiled library does not load here: choose another method."
        )

    def fill(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
        patchmatch.set_random_seed(0)
        return patchmatch.inpaint(photo, mask, patch_size=PATCH)

    return fill


LOADERS: dict[str, Callable[[], Filler]] = {
    "telea": lambda: _opencv("INPAINT_TELEA"),
    "ns": lambda: _opencv("INPAINT_NS"),
    "biharmonic": _biharmonic,
    "patchmatch": _patchmatch,
}


def filler(method: str) -> Filler:
    """Returns a method as a function of an 8-bit RGB array and a mask that is true in the hole.

    There are these, and what each needs is imported here:

    - `telea`: fast marching (Telea 2004) and `ns`: Navier-Stokes (Bertalmio et al. 2001), by OpenCV, radius 5;
    - `biharmonic`: the biharmonic equation solved in the hole (Damelin and Hoang 2018), by scikit-image;
    - `patchmatch`: multi-scale PatchMatch completion (Barnes et al. 2009; Wexler et al. 2007), by PyPatchMatch,
      patches of 15 x 15, seeded anew for each picture.

    Raises:
        UserError: there is no such method, or its package is missing: the sentence names the extra.
    """
    if method not in LOADERS:
        raise UserError(f"There is no classical method {method!r}: choose {', '.join(LOADERS)}.")
    return LOADERS[method]()


def fill(picture: Picture, mask: Mask, method: str | Filler) -> Picture:
    """Fills a picture's hole at full size, in 8 bits; known pixels stay as they are, bit by bit.

    The method is a name, or what `filler` returned for one. What stands in the hole is not looked at.

    Raises:
        UserError: as `filler`; or the mask covers the whole picture.
    """
    if mask.all():
        raise UserError("The mask covers the whole picture, which leaves nothing to fill from.")
    apply = filler(method) if isinstance(method, str) else method
    known = picture * (1 - mask)
    photo = (known.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    filled = torch.from_numpy(apply(np.ascontiguousarray(photo), mask[0].cpu().numpy() > 0))
    return composite(picture, filled.permute(2, 0, 1).to(picture) / 255, mask)

"""High-resolution image inpainting by multi-scale neural patch synthesis (Yang et al., CVPR 2017)."""

from typing import TYPE_CHECKING, Any

from inpaint.process import prepare

if TYPE_CHECKING:
    from inpaint.photo.inpainter import Inpainter

__all__ = ["Inpainter"]

prepare()  # before anything imports torch


def __getattr__(name: str) -> Any:
    """`from inpaint import Inpainter`, without `import inpaint` importing torch."""
    if name == "Inpainter":
        from inpaint.photo.inpainter import Inpainter

        return Inpainter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

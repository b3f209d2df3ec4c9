"""Writes pictures for the pages of the experiments: JPEGs that stay small."""

from pathlib import Path

from PIL import Image

from inpaint.files import atomic

MOST_BYTES = 280_000


def save_jpeg(picture: Image.Image, path: Path, most: int = MOST_BYTES) -> None:
    """Writes a JPEG of at most `most` bytes: of the best quality that is small enough, and where none is, smaller."""
    quality = 92
    while True:
        with atomic(path) as beside:
            picture.save(beside, quality=quality, optimize=True)
        if path.stat().st_size <= most:
            return
        if quality > 70:
            quality -= 4
        else:
            picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.Resampling.LANCZOS)

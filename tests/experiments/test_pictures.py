"""The pictures of the experiments' pages."""

import numpy as np
import pytest
from PIL import Image

from experiments.pictures import MOST_BYTES, save_jpeg


@pytest.mark.parametrize("most", [MOST_BYTES, 20_000])
def test_a_picture_stays_small(most, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)  # nothing is harder to compress
    save_jpeg(Image.fromarray(noise), tmp_path / "noise.jpg", most)
    assert (tmp_path / "noise.jpg").stat().st_size <= most
    assert [path.name for path in tmp_path.iterdir()] == ["noise.jpg"]

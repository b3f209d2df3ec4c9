from pathlib import Path

import pytest
from safetensors.torch import load_file

from inpaint.vgg import VGG, load_vgg

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.safetensors"))


@pytest.fixture(scope="session")
def vgg() -> VGG:
    """The embedded network in float32."""
    return load_vgg()


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem, scope="session")
def golden(request):
    """A case whose energies, gradients and matches were computed in float64 with every sum written out."""
    return load_file(request.param)

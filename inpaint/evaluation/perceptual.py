"""Measures by networks: the perceptual distance in the hole, by the VGG-16 that ships; and LPIPS (Zhang et al. 2018),
FID (Heusel et al. 2017), P-IDS and U-IDS (Zhao et al. 2021), whose weights you give as files."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from inpaint.errors import UserError
from inpaint.files import read_weights
from inpaint.imaging.box import Box
from inpaint.imaging.pixels import Mask, Picture
from inpaint.vgg import VGG

LPIPS_NETWORKS = {
    "alex": ("lpips_weights", "torchvision's AlexNet (alexnet-owt-7be5be79.pth)"),
    "vgg": ("lpips_vgg_weights", "torchvision's VGG-16 (vgg16-397923af.pth)"),
}
"""The networks of LPIPS as its package names them: the setting that names a file, and what that has to hold."""
PACKAGES = {"lpips": "lpips", "torch_fidelity": "torch-fidelity", "sklearn": "scikit-learn"}
EYE_LAYERS = ("relu3_3", "relu4_2")  # experiments/perceptual compares them with others
SEEN = 40  # pixels around the hole, whole cells of the deepest layer, that its features see


@torch.no_grad()
def perceptual_distance(prediction: Picture, truth: Picture, mask: Mask, vgg: VGG) -> float:
    """Measures how far the fill looks from the truth: the mean distance of VGG's features in the hole, 0 if equal.

    It is LPIPS without learned weights (Zhang et al. 2018, equation 1 with w = 1) on the deeper layers: each cell's
    features are divided by their norm, the squared distances of the two pictures are averaged over the cells of
    the hole, and summed over the layers; at most 2 a layer, for no feature is
    negative. Unlike PSNR it minds blur more than detail in a wrong place. Cells of the hole are those with a pixel of
    it; they see up to 34 pixels around it.

    Args:
        prediction: in [0, 1], clamped as it is when it is written.
        vgg: a VGG-16 or VGG-19, in float32 for values that can be compared.
    """
    height, width = mask.shape[-2:]
    hole, cell = Box.around(mask), vgg.strides[EYE_LAYERS[-1]]
    aligned = Box(hole.left // cell * cell, hole.top // cell * cell, *(-(-side // cell) * cell for side in hole[2:]))
    box = aligned.grown(SEEN, (height, width))
    pictures = torch.stack([box.of(prediction).clamp(0, 1), box.of(truth)]).to(vgg.mean)
    ragged = (0, -pictures.shape[-1] % cell, 0, -pictures.shape[-2] % cell)  # so that no pixel of the hole is cut off
    marked = F.pad(box.of(mask), ragged).to(vgg.mean)
    total = 0.0
    for layer, features in vgg(F.pad(pictures, ragged, mode="replicate"), EYE_LAYERS).items():
        ours, true = F.normalize(features.float(), dim=1)
        inside = F.max_pool2d(marked, vgg.strides[layer])[0] > 0
        total += float((ours - true).square().sum(0)[inside].mean())
    return total


def load_lpips(
    path: str | Path, network: str = "alex"
) -> Callable[[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"]], float]:
    """Loads LPIPS, version 0.1: of two pictures in [0, 1], 0 for equal ones, more the less alike they look.

    Args:
        path: torchvision's file of the network's weights; those of LPIPS' linear layers are part of the package lpips.
        network: alex or vgg (VGG-16).

    Raises:
        UserError: the package or the file is missing, or the file holds something else.
    """
    with _one_sentence(path, *LPIPS_NETWORKS[network]):
        import lpips

        state = read_weights(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it calls torchvision's networks the old way
            model = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
        own = model.net.state_dict()  # slice1.0.weight here is features.0.weight there
        model.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in own})

    @torch.no_grad()
    def measure(prediction: Tensor, truth: Tensor) -> float:
        return float(model(prediction[None].clamp(0, 1), truth[None], normalize=True))

    return measure


def load_inception(path: str | Path) -> Callable[[Float[Tensor, "3 height width"]], Float[Tensor, " 2048"]]:
    """Loads Inception v3, which makes of a picture in [0, 1], of any size, the 2048 features that sets are compared by.

    Args:
        path: torch-fidelity's file of the original weights, `weights-inception-2015-12-05-6726825d.pth`.

    Raises:
        UserError: the package or the file is missing, or the file holds something else.
    """
    network = "torch-fidelity's Inception (weights-inception-2015-12-05-6726825d.pth)"
    with _one_sentence(path, "fid_weights", network):
        import sklearn.svm  # noqa: F401 - said now if it is missing, not after the last picture
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        read_weights(Path(path))  # torch-fidelity itself would run what a file names
        model = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))

    @torch.no_grad()
    def features(picture: Tensor) -> Tensor:
        return model((picture.clamp(0, 1) * 255).round().byte()[None])[0][0]

    return features


def frechet_distance(a: Float[Tensor, "n features"], b: Float[Tensor, "m features"]) -> float:
    """Computes the Frechet distance of two sets' normal distributions: FID, if the rows are Inception's features.

    `|mean(a) - mean(b)|^2 + tr(A + B - 2 (A B)^(1/2))` with the covariances A = X^T X and B = Y^T Y (X: a's centred
    rows over the root of n - 1), so tr (A B)^(1/2) is the sum of the singular values of X Y^T, an n x m matrix. NaN for
    fewer than two rows.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    a, b = a.double(), b.double()
    x, y = (((rows - rows.mean(0)) / (len(rows) - 1) ** 0.5) for rows in (a, b))
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift + x.square().sum() + y.square().sum() - 2 * torch.linalg.matrix_norm(x @ y.T, "nuc"))


def discriminative_scores(
    filled: Float[Tensor, "n features"], true: Float[Tensor, "n features"]
) -> tuple[float, float]:
    """Computes P-IDS and U-IDS in percent, of filled pictures and their true ones in the same order.

    A linear support vector machine learns to tell the filled from the true by Inception's features (scikit-learn's
    LinearSVC as Zhao et al. 2021 set it, section 5). U-IDS is the share that it gets wrong, at most 50 where they look
    alike; P-IDS is the share of pairs whose filled picture it takes for the truer one. Both fall towards 0, whatever
    the method, with many fewer pictures than features. NaN for fewer than two pictures.
    """
    from sklearn.svm import LinearSVC

    if len(filled) < 2:
        return float("nan"), float("nan")
    both = torch.cat([true, filled]).double().numpy()
    is_true = [True] * len(true) + [False] * len(filled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped after its thousand rounds, as theirs does
        machine = LinearSVC(dual=False).fit(both, is_true)
    truth_of_true, truth_of_filled = machine.decision_function(both).reshape(2, -1)
    return 100 * float((truth_of_filled > truth_of_true).mean()), 100 * float(1 - machine.score(both, is_true))


@contextmanager
def _one_sentence(path: str | Path, key: str, network: str) -> Iterator[None]:
    """Turns what goes wrong while a network is loaded into a UserError: a package, its file, or what that holds."""
    try:
        yield
    except ImportError as error:
        package = PACKAGES.get((error.name or "").partition(".")[0], error.name)
        raise UserError(
            f"{key} needs the package {package}, which is not there: pip install 'neural-patch-synthesis[perceptual]'."
        ) from None
    except (UserError, KeyError, RuntimeError, TypeError, AttributeError):
        if not Path(path).is_file():
            raise UserError(
                f"There is no file {path}: {key} is the path of {network}, downloaded beforehand."
            ) from None
        raise UserError(f"{path} does not hold the weights of {network}, which {key} has to name.") from None

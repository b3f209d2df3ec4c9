"""A trained VGG as a feature extractor with fixed weights: phi, in the paper."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from inpaint.errors import UserError
from inpaint.files import read_weights
from inpaint.precision import fast_dtype

EMBEDDED = Path(str(files("inpaint.assets") / "vgg16_relu4_2_fp16.safetensors"))
BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions a block


class Step(NamedTuple):
    """One convolution with its ReLU (`name` = relu<block>_<number>) or, without weights, one 2 x 2 max pooling."""

    name: str
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def pools(self) -> bool:
        return self.weight is None

    def __call__(self, h: Tensor) -> Tensor:
        """Computes this step; a convolution takes what is already padded by one."""
        return F.max_pool2d(h, 2) if self.weight is None else F.relu_(F.conv2d(h, self.weight, self.bias))


class VGG(nn.Module):
    """The convolutions of a VGG up to the deepest layer that its weights hold, as a fixed function of a picture.

    Args:
        weights: torchvision's keys `features.<n>.weight` and `.bias`, from features.0 on without a gap.
        architecture: "vgg16" or "vgg19".
        mean, std: of pictures in [0, 1]: the first is subtracted from them, the second divides them then.

    Attributes:
        name: "VGG-16" or "VGG-19".
        strides: for each layer that the weights reach, the pixels that a cell is wide.

    Raises:
        UserError: a weight is missing or has another shape than the architecture says.
    """

    mean: Tensor

    def __init__(
        self, weights: Mapping[str, Tensor], architecture: str, mean: Sequence[float], std: Sequence[float] = (1, 1, 1)
    ) -> None:
        super().__init__()
        if architecture not in BLOCKS:
            raise UserError(f"There is no VGG {architecture!r}: choose one of {', '.join(BLOCKS)}.")
        self.name = f"VGG-{architecture.removeprefix('vgg')}"
        self.dtype = torch.float32
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.weight_files: dict[str, Path] = {}
        self.names: list[str] = []
        self.strides: dict[str, int] = {}
        if "features.0.weight" not in weights:
            raise UserError(f"The weights hold no features.0.weight, so they are not those of {architecture}.")
        index, channels = 0, 3
        for block, convolutions in enumerate(BLOCKS[architecture], start=1):
            width = min(64 * 2 ** (block - 1), 512)
            for number in range(1, convolutions + 1):
                key, name = f"features.{index}", f"relu{block}_{number}"
                if f"{key}.weight" not in weights:
                    return
                weight, bias = weights[f"{key}.weight"].float(), weights[f"{key}.bias"].float()
                if weight.shape != (width, channels, 3, 3) or bias.shape != (width,):
                    raise UserError(
                        f"The weights are not those of {architecture}: {key}.weight has the shape "
                        f"{tuple(weight.shape)} where ({width}, {channels}, 3, 3) is expected."
                    )
                if index == 0:  # dividing the input by std is multiplying the first weights by 1 / std
                    weight = weight / torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1)
                weight = weight.contiguous(memory_format=torch.channels_last)
                self.register_buffer(f"{name}_weight", weight, persistent=False)
                self.register_buffer(f"{name}_bias", bias, persistent=False)
                self.names.append(name)
                self.strides[name] = 2 ** (block - 1)
                index, channels = index + 2, width  # a ReLU stands between two convolutions
            self.names.append(f"pool{block}")
            index += 1

    def on(self, device: torch.device | str, precision: str = "auto") -> Self:
        """Moved to a device, its convolutions computed in "float32", "bfloat16" or "auto": what is fast there."""
        dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": fast_dtype(torch.device(device))}
        if precision not in dtypes:
            raise UserError(f"There is no precision {precision!r}: choose one of {', '.join(dtypes)}.")
        self.dtype = dtypes[precision]
        self.to(device)
        for name in self.strides:
            for part in (f"{name}_weight", f"{name}_bias"):
                setattr(self, part, getattr(self, part).to(self.dtype))
        return self

    def steps(self, layers: Sequence[str]) -> list[Step]:
        """What to compute, in order, for these layers; a UserError where the weights do not reach one of them."""
        for layer in layers:
            if layer not in self.strides:
                raise UserError(f"There is no layer {layer!r}: choose among {', '.join(self.strides)}.")
        deepest = max(map(self.names.index, layers))
        return [
            Step(name, getattr(self, f"{name}_weight", None), getattr(self, f"{name}_bias", None))
            for name in self.names[: deepest + 1]
        ]

    def normalise(self, picture: Float[Tensor, "batch 3 height width"]) -> Tensor:
        return (picture - self.mean).to(self.dtype, memory_format=torch.channels_last)

    def forward(
        self, picture: Float[Tensor, "batch 3 height width"], layers: Sequence[str]
    ) -> dict[str, Float[Tensor, "batch _ _ _"]]:
        """phi_l of a picture in [0, 1] for each layer l, [batch, channels, height / stride, width / stride]."""
        h, features = self.normalise(picture), {}
        for step in self.steps(layers):
            h = step(h if step.pools else F.pad(h, (1, 1, 1, 1)))
            if step.name in layers:
                features[step.name] = h
        return features


def load_vgg(weights: str | Path = "embedded") -> VGG:
    """The network that gives phi, in float32 on the CPU: VGG-16 unless told otherwise, where the paper has VGG-19.

    Args:
        weights: "embedded" (VGG-16 to conv4_2, part of this package), "vgg19" (the paper's network, which torchvision
            downloads at first use, 550 MB) or the path of a VGG-19 state dict as torchvision distributes it.

    Raises:
        UserError: the file is missing, is no state dict, or is that of another network; the download failed.
    """
    if str(weights) == "embedded":
        vgg = VGG(read_weights(EMBEDDED), "vgg16", (123.68 / 255, 116.779 / 255, 103.939 / 255))
        vgg.weight_files = {"vgg": EMBEDDED}
        return vgg
    if str(weights) == "vgg19":
        from torchvision.models import VGG19_Weights

        try:
            state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
            path = Path(torch.hub.get_dir()) / "checkpoints" / VGG19_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
        except OSError as error:
            raise UserError(
                f"VGG-19 could not be downloaded ({error}): give a downloaded file as model.features.weights=PATH, "
                "or use model/features=vgg16."
            ) from None
    else:
        path = Path(weights)
        if not path.is_file():
            raise UserError(f"There are no VGG-19 weights at {path}: give a file, or use model/features=vgg16.")
        state = read_weights(path)
    vgg = VGG(state, "vgg19", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    vgg.weight_files = {"vgg": path}
    return vgg

"""A generator and a discriminator of one's own: any modules with these inputs and outputs will do."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Dilated(nn.Module):
    """Predicts the middle by dilated convolutions, which see far without a narrow middle (Iizuka et al. 2017).

    Args:
        width: of every layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4, width, 4, stride=4)]  # the picture and the mask, at 32 x 32
        for dilation in (1, 2, 4, 8):
            layers += [nn.ELU(), nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)]
        self.layers = nn.Sequential(*layers, nn.ELU())
        self.enlarge = nn.ConvTranspose2d(width, 3, 4, stride=4)

    def forward(
        self, picture: Float[Tensor, "batch 3 128 128"], mask: Float[Tensor, "batch 1 128 128"]
    ) -> Float[Tensor, "batch 3 64 64"]:
        """The picture's middle, in [0, 1]; the picture has the mean colour in its hole, where the mask is 1."""
        features = self.layers(torch.cat([2 * picture - 1, mask], 1))
        return self.enlarge(features[..., 8:24, 8:24]).sigmoid()


class Patches(nn.Module):
    """Judges every patch of a middle, and gives the mean of the logits (Isola et al. 2017).

    Args:
        width: of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, middle: Float[Tensor, "batch 3 64 64"]) -> Float[Tensor, " batch"]:
        """The logit of each picture in [0, 1]: above 0 where it is taken for real."""
        return self.layers(2 * middle - 1).mean((1, 2, 3))

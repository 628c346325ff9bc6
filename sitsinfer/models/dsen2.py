"""DSen2: the 20 m bands of Sentinel-2 at 10 m.

C. Lanaras et al., "Super-resolution of Sentinel-2 images: Learning a globally applicable deep neural network", 2018.
Attribute names are our own; parameters stand in the order in which the network computes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sitsinfer.errors import ModelError

RESIDUAL_SCALE = 0.1


class DSen2(nn.Module):
    """Add to bands of 20 m the detail that bands of 10 m show."""

    def __init__(self, blocks: int = 32, features: int = 256, bands_10m: int = 4, bands_20m: int = 6) -> None:
        """Build the network.

        Args:
            blocks: Residual blocks.
            features: Channels of all feature maps.
            bands_10m: Bands that show the detail.
            bands_20m: Bands that lack it.
        """
        super().__init__()
        self.bands = bands_10m, bands_20m
        self.first = nn.Conv2d(bands_10m + bands_20m, features, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(features) for _ in range(blocks))
        self.last = nn.Conv2d(features, bands_20m, 3, padding=1)

    @property
    def reach(self) -> int:
        """Pixels that a pixel sees on each side."""
        return 2 * len(self.blocks) + 2

    def forward(self, x10: Tensor, x20: Tensor) -> Tensor:
        """Sharpen bands of 20 m.

        Args:
            x10: Bands of 10 m, (B, bands_10m, H, W).
            x20: Bands of 20 m, on the grid of 10 m, (B, bands_20m, H, W).

        Returns:
            Bands of 20 m, likewise.

        Raises:
            ModelError: If the bands are not as many as the weights expect.
        """
        if (x10.shape[1], x20.shape[1]) != self.bands:
            raise ModelError(
                f"There are {x10.shape[1]} bands of 10 m and {x20.shape[1]} of 20 m. "
                f"Expected {self.bands[0]} and {self.bands[1]}, as the weights have."
            )
        x = torch.relu_(self.first(torch.cat((x10, x20), dim=1)))
        for block in self.blocks:
            x = block(x)
        sharpened: Tensor = self.last(x) + x20
        return sharpened


class ResidualBlock(nn.Module):
    """Two convolutions, a tenth of which is added."""

    def __init__(self, features: int) -> None:
        """Refine maps of ``features`` channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (B, F, H, W)."""
        return torch.add(x, self.conv2(torch.relu_(self.conv1(x))), alpha=RESIDUAL_SCALE)

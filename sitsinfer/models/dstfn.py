"""DSTFN: a Sentinel-2 image of one day from that of another and from Landsat, with its panchromatic band.

J. Wu et al., "Fusing Landsat 8 and Sentinel-2 data for 10-m dense time-series imagery using a degradation-term
constrained deep network", 2022. Of the published network this is the sub-network that gives the result; attribute names
are those of its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitsinfer.errors import ModelError

UPSAMPLING = {"landsat": 3, "pan": 1.5}
"""Fine pixels along the side of one of each coarser input."""


class DSTFN(nn.Module):
    """Fuse Sentinel-2 of another day with Landsat and its panchromatic band.

    Attention over channels averages over the whole image it is given: what a pixel becomes depends on all others.
    """

    def __init__(
        self,
        features: int,
        dense_layers: int,
        growth_rate: int,
        s2_bands: int = 6,
        landsat_bands: int = 6,
        pan_bands: int = 1,
        attention_ratio: int = 16,
    ) -> None:
        """Build the network.

        Args:
            features: Channels of all feature maps.
            dense_layers: Convolutions in a dense block.
            growth_rate: Channels that each of them adds.
            s2_bands: Bands of Sentinel-2, which come out as well.
            landsat_bands: Bands of Landsat.
            pan_bands: Panchromatic bands.
            attention_ratio: What channels are divided by within the attention over them.
        """
        super().__init__()
        if attention_ratio < 1 or features % attention_ratio:
            raise ModelError(
                f"attention_ratio is {attention_ratio}, which does not divide {features} features. Change one of them."
            )
        self.conv1_net2 = _conv_relu(s2_bands, features, bias=True)
        self.conv2_net2 = _conv_relu(landsat_bands, features, bias=True)
        self.conv3_net2 = _conv_relu(pan_bands, features, bias=True)
        self.conv4_net2 = nn.Sequential(nn.Conv2d(features, s2_bands, 3, padding=1))
        self.CSA1_net2, self.CSA2_net2, self.CSA3_net2, self.CSA4_net2 = (
            Attention(features, attention_ratio) for _ in range(4)
        )
        self.RDB1_net2, self.RDB2_net2, self.RDB3_net2, self.RDB4_net2 = (
            DenseBlock(features, dense_layers, growth_rate) for _ in range(4)
        )
        self.conv1_1x1_net2 = nn.Conv2d(3 * features, features, 1)
        self.conv2_1x1_net2 = nn.Conv2d(3 * features, features, 1)

    def forward(self, s2: Tensor, landsat: Tensor, pan: Tensor) -> Tensor:
        """Predict Sentinel-2 on Landsat's day.

        Args:
            s2: Reflectance on another day, (B, s2_bands, H, W), 10 m.
            landsat: Reflectance, (B, landsat_bands, H / 3, W / 3), 30 m.
            pan: Reflectance, (B, pan_bands, H / 1.5, W / 1.5), 15 m.

        Returns:
            Reflectance, (B, s2_bands, H, W).

        Raises:
            ModelError: If the three do not cover the same ground.
        """
        self._check(s2, landsat, pan)
        coarse = _upsample(self.encode_landsat(landsat), "landsat")
        sharp = _upsample(self.conv3_net2(pan), "pan")
        x = self.conv1_1x1_net2(torch.cat((self.conv1_net2(s2), coarse, sharp), dim=1))
        stages = []
        for attention, dense in (
            (self.CSA2_net2, self.RDB2_net2),
            (self.CSA3_net2, self.RDB3_net2),
            (self.CSA4_net2, self.RDB4_net2),
        ):
            x = dense(attention(x))
            stages.append(x)
        fused: Tensor = self.conv4_net2(self.conv2_1x1_net2(torch.cat(stages, dim=1)) + coarse)
        return fused

    def encode_landsat(self, landsat: Tensor) -> Tensor:
        """Features of Landsat on its own grid."""
        out: Tensor = self.RDB1_net2(self.CSA1_net2(self.conv2_net2(landsat)))
        return out

    @staticmethod
    def _check(s2: Tensor, landsat: Tensor, pan: Tensor) -> None:
        height, width = s2.shape[2:]
        for name, x in (("landsat", landsat), ("pan", pan)):
            if (height, width) != tuple(size * UPSAMPLING[name] for size in x.shape[2:]):
                raise ModelError(
                    f"Sentinel-2 has {height} x {width} pixels and {name} has {x.shape[2]} x {x.shape[3]}. "
                    f"Expected {UPSAMPLING[name]:g} times as many along each side."
                )


class DenseBlock(nn.Module):
    """Convolutions that each see what all before them made, and a residual connection."""

    def __init__(self, features: int, layers: int, growth_rate: int) -> None:
        """Build ``layers`` convolutions that add ``growth_rate`` channels each."""
        super().__init__()
        self.dense_layers = nn.ModuleList(DenseLayer(features + i * growth_rate, growth_rate) for i in range(layers))
        self.conv_1x1 = nn.Conv2d(features + layers * growth_rate, features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (B, D, H, W)."""
        maps = x
        for layer in self.dense_layers:
            maps = torch.cat((maps, layer(maps)), dim=1)
        out: Tensor = self.conv_1x1(maps) + x
        return out


class DenseLayer(nn.Module):
    """One convolution of a dense block."""

    def __init__(self, features: int, growth_rate: int) -> None:
        """Make ``growth_rate`` channels of ``features``."""
        super().__init__()
        self.conv_dense = _conv_relu(features, growth_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, D, H, W)."""
        out: Tensor = self.conv_dense(x)
        return out


class Attention(nn.Module):
    """Attention over channels and attention over pixels, side by side and added."""

    def __init__(self, features: int, ratio: int) -> None:
        """Attend to ``features`` channels."""
        super().__init__()
        self.csa_cal = ChannelAttention(features, ratio)
        self.csa_sal = SpatialAttention(features)
        self.csa_conv1 = _conv_relu(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (B, D, H, W)."""
        out: Tensor = self.csa_conv1(self.csa_cal(x) + self.csa_sal(x))
        return out


class ChannelAttention(nn.Module):
    """Weigh channels by their mean over the image, and once more by their maximum."""

    def __init__(self, features: int, ratio: int) -> None:
        """Attend to ``features`` channels through ``features / ratio``."""
        super().__init__()
        narrow = features // ratio
        self.cal_conv1 = _conv_relu(2 * features, features)
        self.cal_fc1 = _conv_relu(features, narrow, kernel=1)
        self.cal_fc2 = _conv_sigmoid(narrow, features)
        self.cal_fc3 = _conv_relu(features, narrow, kernel=1)
        self.cal_fc4 = _conv_sigmoid(narrow, features)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (B, D, H, W)."""
        by_mean = self.cal_fc2(self.cal_fc1(x.mean(dim=(2, 3), keepdim=True)))
        by_maximum = self.cal_fc4(self.cal_fc3(x.amax(dim=(2, 3), keepdim=True)))
        out: Tensor = self.cal_conv1(torch.cat((x * by_mean, x * by_maximum), dim=1))
        return out


class SpatialAttention(nn.Module):
    """Weigh pixels by what surrounds them."""

    def __init__(self, features: int) -> None:
        """Attend to the pixels of ``features`` channels."""
        super().__init__()
        self.sal_conv1 = _conv_relu(features, features, groups=features)
        self.sal_conv1x1 = _conv_sigmoid(features, 1)
        self.sal_conv2 = _conv_relu(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (B, D, H, W)."""
        out: Tensor = self.sal_conv2(x * self.sal_conv1x1(self.sal_conv1(x)))
        return out


def _conv_relu(before: int, after: int, kernel: int = 3, groups: int = 1, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=bias), nn.ReLU(inplace=True)
    )


def _conv_sigmoid(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.Sigmoid())


def _upsample(x: Tensor, source: str) -> Tensor:
    # Explicit factors decide where an output pixel lies, as in the published network.
    factor = UPSAMPLING[source]
    return F.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False)

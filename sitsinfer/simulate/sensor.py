"""How a sensor sees the materials: its bands, and their reflectances in each.

Another sensor of the same ground is another table here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sitsinfer.simulate.phenology import Material


@dataclass(frozen=True)
class Sensor:
    """A sensor's bands and what it makes of materials.

    Attributes:
        name: Folder of its series.
        bands: Names of its reflectance bands, in file order.
        pixel_m: Pixel size of its files, metres.
        wavelength_nm: Centre of each band.
        coarse: True for the bands seen at twice the pixel size and resampled to it.
        reflectance: Reflectance of each material in each band, (M, C).
        cloud: Reflectance of thick cloud in each band.
        shadow: What is left of each band's light in deep shadow.
        noise: Standard deviation of the noise of each band, reflectance.
    """

    name: str
    bands: tuple[str, ...]
    pixel_m: int
    wavelength_nm: tuple[float, ...]
    coarse: tuple[bool, ...]
    reflectance: NDArray[np.float32]
    cloud: tuple[float, ...]
    shadow: tuple[float, ...]
    noise: tuple[float, ...]


def _table(rows: dict[Material, tuple[float, ...]]) -> NDArray[np.float32]:
    """Stack spectra in the order of the materials, (M, C)."""
    return np.array([rows[material] for material in Material], dtype=np.float32)


SENTINEL2 = Sensor(
    name="sentinel2",
    bands=("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    pixel_m=10,
    wavelength_nm=(492, 560, 665, 704, 740, 783, 833, 865, 1614, 2202),
    coarse=(False, False, False, True, True, True, False, True, True, True),
    reflectance=_table(
        {
            Material.CEREAL: (0.026, 0.058, 0.027, 0.088, 0.300, 0.400, 0.430, 0.450, 0.205, 0.095),
            Material.LEAFY: (0.027, 0.070, 0.029, 0.105, 0.350, 0.455, 0.490, 0.510, 0.220, 0.098),
            Material.GRASS: (0.032, 0.070, 0.038, 0.105, 0.275, 0.340, 0.370, 0.390, 0.225, 0.115),
            Material.TREE: (0.021, 0.046, 0.022, 0.076, 0.240, 0.310, 0.335, 0.350, 0.155, 0.065),
            Material.CONIFER: (0.018, 0.030, 0.018, 0.050, 0.135, 0.170, 0.182, 0.192, 0.088, 0.038),
            Material.FLOWER: (0.045, 0.165, 0.155, 0.195, 0.340, 0.410, 0.435, 0.450, 0.235, 0.120),
            Material.STRAW: (0.088, 0.128, 0.175, 0.212, 0.245, 0.268, 0.295, 0.315, 0.365, 0.262),
            Material.LITTER: (0.042, 0.055, 0.068, 0.085, 0.112, 0.130, 0.148, 0.160, 0.190, 0.125),
            Material.BRIGHT_SOIL: (0.082, 0.112, 0.150, 0.170, 0.188, 0.205, 0.222, 0.238, 0.315, 0.275),
            Material.DARK_SOIL: (0.042, 0.056, 0.074, 0.085, 0.095, 0.105, 0.114, 0.122, 0.175, 0.152),
            Material.WATER: (0.038, 0.034, 0.020, 0.016, 0.012, 0.011, 0.010, 0.009, 0.006, 0.005),
            Material.TURBID_WATER: (0.055, 0.078, 0.062, 0.055, 0.034, 0.031, 0.027, 0.022, 0.010, 0.008),
            Material.ROOF: (0.110, 0.125, 0.160, 0.172, 0.184, 0.195, 0.205, 0.212, 0.245, 0.220),
            Material.ASPHALT: (0.082, 0.090, 0.098, 0.103, 0.109, 0.115, 0.121, 0.126, 0.150, 0.142),
        }
    ),
    cloud=(0.66, 0.64, 0.63, 0.63, 0.63, 0.63, 0.64, 0.64, 0.46, 0.34),
    shadow=(0.62, 0.55, 0.48, 0.46, 0.42, 0.41, 0.40, 0.40, 0.36, 0.34),
    noise=(0.003, 0.003, 0.0035, 0.008, 0.009, 0.010, 0.006, 0.011, 0.009, 0.008),
)

LANDSAT = Sensor(
    name="landsat",
    bands=("B01", "B02", "B03", "B04", "B05", "B06", "B07"),
    pixel_m=30,
    wavelength_nm=(443, 482, 561, 655, 865, 1609, 2201),
    coarse=(False,) * 7,
    reflectance=_table(
        {
            Material.CEREAL: (0.022, 0.025, 0.058, 0.028, 0.450, 0.206, 0.095),
            Material.LEAFY: (0.023, 0.026, 0.070, 0.030, 0.510, 0.221, 0.098),
            Material.GRASS: (0.027, 0.031, 0.070, 0.039, 0.390, 0.226, 0.115),
            Material.TREE: (0.019, 0.020, 0.046, 0.023, 0.350, 0.156, 0.065),
            Material.CONIFER: (0.017, 0.018, 0.030, 0.018, 0.192, 0.089, 0.038),
            Material.FLOWER: (0.036, 0.043, 0.165, 0.156, 0.450, 0.236, 0.120),
            Material.STRAW: (0.072, 0.084, 0.128, 0.171, 0.315, 0.364, 0.263),
            Material.LITTER: (0.038, 0.041, 0.055, 0.066, 0.160, 0.190, 0.125),
            Material.BRIGHT_SOIL: (0.066, 0.078, 0.112, 0.146, 0.238, 0.314, 0.276),
            Material.DARK_SOIL: (0.035, 0.040, 0.056, 0.072, 0.122, 0.174, 0.152),
            Material.WATER: (0.041, 0.039, 0.034, 0.021, 0.009, 0.006, 0.005),
            Material.TURBID_WATER: (0.048, 0.053, 0.078, 0.064, 0.022, 0.010, 0.008),
            Material.ROOF: (0.102, 0.108, 0.125, 0.157, 0.212, 0.245, 0.220),
            Material.ASPHALT: (0.078, 0.081, 0.090, 0.097, 0.126, 0.150, 0.142),
        }
    ),
    cloud=(0.67, 0.66, 0.64, 0.63, 0.64, 0.46, 0.34),
    shadow=(0.66, 0.62, 0.55, 0.48, 0.40, 0.36, 0.34),
    noise=(0.002, 0.002, 0.002, 0.002, 0.003, 0.003, 0.003),
)
"""The Operational Land Imager. ``landsat.py`` adds the temperature of the surface to its bands."""

"""Where everything lies: fields, hedges, woods, water, villages and roads, at any place of an endless plane.

The plane is cut into *farms*, the cells of a stretched, warped Voronoi diagram over a jittered lattice of points. Each
farm is split again and again along its own two directions, into up to 16 fields. Woods, lakes, rivers, villages and
roads are laid over them. All is decided by hashes of lattice positions (``noise.py``), so a place looks the same
whichever window shows it. Positions are metres east (x) and south (y) of the scene's corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sitsinfer.simulate.legend import (
    BARLEY,
    BEET,
    BUILT_UP,
    CONIFEROUS,
    DECIDUOUS,
    MAIZE,
    MEADOW,
    ORCHARD,
    POTATO,
    RAPESEED,
    SOYBEAN,
    SUNFLOWER,
    WATER,
    WHEAT,
)
from sitsinfer.simulate.noise import fractal_noise, normal, smooth_noise, uniform

FARM_M = 400.0
"""Spacing of the lattice of farm points."""

REACH_M = 3 * FARM_M
"""No farm reaches further from its point, along x or y; so no field is longer than twice this."""

_DEPTH = 4  # levels of splits; a farm has at most 2**4 fields
_WARP_M = 110.0  # how far farm borders are bent, standard deviation
_OFFSET = 64  # makes lattice indices of a scene's surroundings positive

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(IntEnum):
    """What a unit of ground is; the upper half of its key."""

    FIELD = 0
    HEDGE = 1
    VERGE = 2
    LANE = 3
    BROADLEAF = 4
    CONIFER = 5
    WATER = 6
    BANK = 7
    LOT = 8
    ROAD = 9


_CLASS_OF_KIND = {
    Kind.HEDGE: DECIDUOUS,
    Kind.VERGE: MEADOW,
    Kind.LANE: BUILT_UP,
    Kind.BROADLEAF: DECIDUOUS,
    Kind.CONIFER: CONIFEROUS,
    Kind.WATER: WATER,
    Kind.BANK: MEADOW,
    Kind.LOT: BUILT_UP,
    Kind.ROAD: BUILT_UP,
}

# What fields grow, as shares of their number before each region bends them to its taste.
_CROPS = {
    MEADOW: 0.15,
    WHEAT: 0.18,
    BARLEY: 0.10,
    RAPESEED: 0.10,
    MAIZE: 0.13,
    BEET: 0.08,
    POTATO: 0.07,
    SUNFLOWER: 0.07,
    SOYBEAN: 0.07,
    ORCHARD: 0.05,
}
_REGION_M = 3000.0


@dataclass(frozen=True)
class Ground:
    """The ground under one block of pixels.

    A *unit* is a piece of ground that is alike: a field, the hedges of a farm, a stand of trees, a building lot.

    Attributes:
        keys: One 64-bit key per unit, (U,), sorted; everything else about a unit hashes from it.
        kinds: ``Kind`` of each unit, (U,).
        classes: Class code of each unit, (U,), uint8.
        parcels: Parcel id of each unit, (U,), uint32; 0 for what is not a field.
        shares: Share of each unit in each pixel, sparse (pixels, U), float32; rows sum to 1.
        owner: Index of the unit with the largest share of each pixel, (pixels,).
    """

    keys: Ints
    kinds: Ints
    classes: NDArray[np.uint8]
    parcels: NDArray[np.uint32]
    shares: sparse.csr_array
    owner: Ints


@dataclass(frozen=True)
class _Farms:
    """The farm points around a block, one row each.

    ``axis``, ``cut`` and ``edge_m`` hold the binary tree of splits, (farms, nodes): which direction is cut, where
    (infinite: not at all), and the half width of the hedge or verge along the cut.
    """

    key: Ints
    x: Floats
    y: Floats
    cos: Floats
    sin: Floats
    stretch: Floats
    size: Floats
    axis: NDArray[np.bool_]
    cut: Floats
    edge_m: Floats
    edge_kind: Ints
    border_m: Floats
    border_kind: Ints
    wooded: Floats


def survey(seed: int, x_m: float, y_m: float, pixels: int, pixel_m: float, samples: int) -> Ground:
    """Look at a square of ground.

    Args:
        seed: The scene's seed.
        x_m: Left edge, metres from the scene's corner.
        y_m: Upper edge, metres from the scene's corner.
        pixels: Rows, and columns.
        pixel_m: Pixel size, metres.
        samples: Samples per pixel along each direction; their shares make mixed pixels.

    Returns:
        The units of the square and their shares in its pixels, in row-major order.
    """
    step = (np.arange(pixels * samples, dtype=np.float64) + 0.5) * (pixel_m / samples)
    key = _unit_keys(seed, x_m + step, y_m + step)
    keys, labels = np.unique(key, return_inverse=True)
    labels = labels.reshape(pixels, samples, pixels, samples).swapaxes(1, 2).reshape(pixels**2, samples**2)
    kinds = keys >> 32
    is_field = kinds == Kind.FIELD
    classes = np.array([_CLASS_OF_KIND.get(Kind(kind), 0) for kind in kinds], dtype=np.uint8)
    classes[is_field] = _crops(seed, keys[is_field])
    return Ground(
        keys=keys,
        kinds=kinds,
        classes=classes,
        parcels=np.where(is_field, keys, 0).astype(np.uint32),
        shares=_shares(labels, len(keys)),
        owner=_owner(labels),
    )


def _shares(labels: Ints, units: int) -> sparse.csr_array:
    """Count samples into shares: (pixels, samples) of unit indices to sparse (pixels, units)."""
    pixels, samples = labels.shape
    data = np.full(labels.size, 1 / samples, dtype=np.float32)
    shares = sparse.csr_array(
        (data, labels.ravel().astype(np.int32), np.arange(pixels + 1) * samples), shape=(pixels, units)
    )
    shares.sum_duplicates()
    return shares


def _owner(labels: Ints) -> Ints:
    """Find the most frequent unit of each pixel; of equals, the one sampled first."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2, dtype=np.uint8)
    return np.asarray(labels[np.arange(len(labels)), votes.argmax(axis=1)])


def _unit_keys(seed: int, x: Floats, y: Floats) -> Ints:
    """Say what lies at each sample of a grid: (rows, columns) of unit keys, ``kind << 32 | place``."""
    farms = _farms(seed, x, y)
    warp = (fractal_noise(seed, f"warp-{axis}", x, y, 1500, 4, 0.42) * _WARP_M for axis in "xy")
    xs, ys = x[None, :] + next(warp), y[:, None] + next(warp)
    farm, border = _nearest_farm(farms, x, y, xs, ys)
    key = _fields(farms, farm, xs, ys)

    at_border = border < farms.border_m[farm]
    key[at_border] = _key(farms.border_kind[farm[at_border]], farms.key[farm[at_border]])

    trees = fractal_noise(seed, "woods", x, y, 2400, 5, 0.5) + farms.wooded[farm]
    stand = np.where(
        smooth_noise(seed, "conifers", x, y, 1800) + 2 * farms.wooded[farm] > 0.45, Kind.CONIFER, Kind.BROADLEAF
    )
    key = np.where(trees > 1.0, _key(stand, farms.key[farm]), key)

    river = _distance_to_contour(seed, "river", x, y, 4200)
    river_half_m = 16 + 9 * smooth_noise(seed, "river-width", x, y, 1500)
    lake = _blobs(seed, "lakes", x, y, 2600, 0.4, (60, 260))
    key[(river < river_half_m + 22) | (lake > -14)] = _key(np.int64(Kind.BANK), farms.key[0] * 0)
    key[(river < river_half_m) | (lake > 0)] = _key(np.int64(Kind.WATER), farms.key[0] * 0)

    village = (_blobs(seed, "villages", x, y, 2000, 0.8, (110, 480)) > 0) & (lake < -14) & (river > river_half_m + 22)
    key = np.where(village, _lots(x, y), key)
    key[_distance_to_contour(seed, "road", x, y, 5200) < 6] = _key(np.int64(Kind.ROAD), farms.key[0] * 0)
    return key


def _key(kind: Ints | np.int64, place: Ints) -> Ints:
    """Put a kind and a 32-bit place together."""
    return np.asarray((np.asarray(kind, dtype=np.int64) << 32) | place)


def _farms(seed: int, x: Floats, y: Floats) -> _Farms:
    """Draw every farm that can reach the grid that two axes span."""
    around = REACH_M + FARM_M
    i, j = (
        np.arange(np.floor((axis[0] - around) / FARM_M), np.ceil((axis[-1] + around) / FARM_M) + 1).astype(np.int64)
        for axis in (y, x)
    )
    i, j = (index.ravel() for index in np.meshgrid(i, j, indexing="ij"))
    # Points of one colour of the chessboard always stay: no place is left further from a farm than one can reach.
    region = uniform(seed, "density", i // 6, j // 6)
    stays = ((i + j) % 2 == 0) | (uniform(seed, "stays", i, j) < region)
    i, j = i[stays], j[stays]
    key = ((i + _OFFSET) << 18) | ((j + _OFFSET) << 4)

    def draw(salt: str) -> Floats:
        return uniform(seed, salt, key)

    lean = 2 * np.pi * uniform(seed, "lean", i // 8, j // 8) + 0.45 * normal(seed, "lean-farm", key)
    stretch = np.exp(0.55 * draw("stretch"))
    size = np.exp(0.16 * normal(seed, "size", key))
    axis, cut = _splits(seed, key, FARM_M * 0.62 * size, stretch)
    split_edge = uniform(seed, "edge", key[:, None], np.arange(cut.shape[1]))
    return _Farms(
        key=key,
        x=(j + 0.5 + 0.84 * (draw("jitter-x") - 0.5)) * FARM_M,
        y=(i + 0.5 + 0.84 * (draw("jitter-y") - 0.5)) * FARM_M,
        cos=np.cos(lean),
        sin=np.sin(lean),
        stretch=stretch,
        size=size,
        axis=axis,
        cut=cut,
        edge_m=np.select([split_edge < 0.12, split_edge < 0.4], [4.5, 2.0], 0.0),
        edge_kind=np.where(split_edge < 0.12, Kind.HEDGE, Kind.VERGE),
        border_m=np.select([draw("border") < 0.3, draw("border") < 0.55], [5.0, 2.0], 2.5),
        border_kind=np.select([draw("border") < 0.3, draw("border") < 0.55], [Kind.HEDGE, Kind.LANE], Kind.VERGE),
        wooded=0.42 * normal(seed, "wooded", key),
    )


def _splits(seed: int, key: Ints, half_m: Floats, stretch: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Split each farm's rectangle until its fields are small enough.

    Args:
        seed: The scene's seed.
        key: Farm keys, (F,).
        half_m: Half the side of the farm, were it square, metres, (F,).
        stretch: Its length over its width, to the power of one half, (F,).

    Returns:
        For each farm and node of the tree, root first: True to cut along the second direction; and where, metres from
        the farm's point, infinite where nothing is cut.
    """
    nodes = 2**_DEPTH - 1
    target_m2 = 1e4 * np.exp(np.log(2.6) + 0.75 * normal(seed, "field-size", key))
    strips = uniform(seed, "strips", key) < 0.35
    low = np.zeros((len(key), 2 * nodes + 1, 2))
    high = np.zeros_like(low)
    high[:, 0] = np.stack([half_m * stretch, half_m / stretch], axis=1)
    low[:, 0] = -high[:, 0]
    axis = np.zeros((len(key), nodes), dtype=np.bool_)
    cut = np.full((len(key), nodes), np.inf)
    for node in range(nodes):
        side = high[:, node] - low[:, node]
        longer = side[:, 1] > side[:, 0] * np.exp(0.5 * normal(seed, "cut-axis", key, node))
        axis[:, node] = np.where(strips & (node > 0), axis[:, 0], longer)
        a = axis[:, node].astype(np.int64)
        rows = np.arange(len(key))
        share = 0.5 + 0.34 * (uniform(seed, "cut-share", key, node) - 0.5)
        place = low[rows, node, a] + share * side[rows, a]
        is_cut = side.prod(axis=1) > 1.5 * target_m2 * np.exp(0.3 * normal(seed, "cut-size", key, node))
        cut[:, node] = np.where(is_cut, place, np.inf)
        for child in (2 * node + 1, 2 * node + 2):
            low[:, child], high[:, child] = low[:, node], high[:, node]
        high[rows, 2 * node + 1, a] = np.where(is_cut, place, high[rows, node, a])
        low[rows, 2 * node + 2, a] = place
    return axis, cut


def _nearest_farm(farms: _Farms, x: Floats, y: Floats, xs: Floats, ys: Floats) -> tuple[Ints, Floats]:
    """Find the farm of each sample, each farm measuring distance in its own stretched metric.

    Args:
        farms: The farms that can reach the grid.
        x: Positions of the columns, metres.
        y: Positions of the rows, metres.
        xs: Warped x of each sample, (rows, columns).
        ys: Warped y of each sample, (rows, columns).

    Returns:
        Index of the farm, and metres to its border, about, both (rows, columns).
    """
    best = np.full(xs.shape, np.inf)
    second = np.full(xs.shape, np.inf)
    farm = np.zeros(xs.shape, dtype=np.int64)
    reach = REACH_M
    for n in range(len(farms.key)):
        rows = slice(*np.searchsorted(y, [farms.y[n] - reach, farms.y[n] + reach]))
        columns = slice(*np.searchsorted(x, [farms.x[n] - reach, farms.x[n] + reach]))
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        dx, dy = xs[rows, columns] - farms.x[n], ys[rows, columns] - farms.y[n]
        c, s = farms.cos[n], farms.sin[n]
        along, across = 1 / (farms.stretch[n] * farms.size[n]), farms.stretch[n] / farms.size[n]
        distance = np.hypot((c * dx + s * dy) * along, (c * dy - s * dx) * across)
        previous = best[rows, columns]
        closer = distance < previous
        second[rows, columns] = np.minimum(second[rows, columns], np.maximum(previous, distance))
        best[rows, columns] = np.minimum(previous, distance)
        farm[rows, columns][closer] = n
    return farm, (second - best) / 2


def _fields(farms: _Farms, farm: Ints, xs: Floats, ys: Floats) -> Ints:
    """Walk each sample down the splits of its farm: the key of its field, or of the hedge or verge between two."""
    dx, dy = xs - farms.x[farm], ys - farms.y[farm]
    c, s = farms.cos[farm], farms.sin[farm]
    along, across = c * dx + s * dy, c * dy - s * dx
    nodes = farms.cut.shape[1]
    node = np.zeros(farm.shape, dtype=np.int64)
    edge = np.full(farm.shape, -1, dtype=np.int64)
    for _ in range(_DEPTH):
        at = farm * nodes + node
        beyond = np.where(farms.axis.ravel()[at], across, along) - farms.cut.ravel()[at]
        edge = np.where(np.abs(beyond) < farms.edge_m.ravel()[at], at, edge)
        node = 2 * node + 1 + (beyond > 0)
    place = farms.key[farm]
    key = place | (node - nodes)
    return np.where(edge >= 0, _key(farms.edge_kind.ravel()[edge], place), key)


def _distance_to_contour(seed: int, salt: str, x: Floats, y: Floats, period: float) -> Floats:
    """Estimate the metres to the zero line of a noise field, which winds through the land as rivers and roads do."""
    field = fractal_noise(seed, salt, x, y, period, 4, 0.3)
    slope = np.hypot(*np.gradient(field, y[1] - y[0]))
    return np.asarray(np.abs(field) / np.maximum(slope, 0.2 / period))


def _blobs(
    seed: int, salt: str, x: Floats, y: Floats, spacing: float, chance: float, radius: tuple[float, float]
) -> Floats:
    """Scatter round-ish shapes: metres inside the nearest edge, negative outside, about, (rows, columns)."""
    i, j = (
        np.arange(np.floor(axis[0] / spacing) - 1, np.floor(axis[-1] / spacing) + 2).astype(np.int64) for axis in (y, x)
    )
    i, j = (index.ravel() for index in np.meshgrid(i, j, indexing="ij"))
    there = uniform(seed, f"{salt}-there", i, j) < chance
    i, j = i[there], j[there]
    centre_x = (j + uniform(seed, f"{salt}-x", i, j)) * spacing
    centre_y = (i + uniform(seed, f"{salt}-y", i, j)) * spacing
    radius_m = radius[0] + (radius[1] - radius[0]) * uniform(seed, f"{salt}-radius", i, j) ** 2
    edge = fractal_noise(seed, f"{salt}-edge", x, y, 0.9 * radius[1], 4)
    inside = np.full((len(y), len(x)), -np.inf)
    for cx, cy, r in zip(centre_x, centre_y, radius_m, strict=True):
        distance = np.hypot(x[None, :] - cx, 1.25 * (y[:, None] - cy))
        inside = np.maximum(inside, r * (1 + 0.4 * edge) - distance)
    return inside


def _lots(x: Floats, y: Floats) -> Ints:
    """Divide villages into lots of 20 m, leaning to one side so that they do not follow the pixels."""
    lean, lot_m = 0.35, 20.0
    u = x[None, :] * np.cos(lean) + y[:, None] * np.sin(lean)
    v = y[:, None] * np.cos(lean) - x[None, :] * np.sin(lean)
    column, row = (np.floor(axis / lot_m).astype(np.int64) & 0xFFFF for axis in (u, v))
    return _key(np.int64(Kind.LOT), (row << 16) | column)


def _crops(seed: int, keys: Ints) -> NDArray[np.uint8]:
    """Choose what each field grows. Regions differ in their tastes."""
    codes = np.array(list(_CROPS), dtype=np.int64)
    region = int(_REGION_M / FARM_M)
    i, j = (keys >> 18) // region, ((keys >> 4) & 0x3FFF) // region
    taste = 0.5 + uniform(seed, "taste", i[:, None], j[:, None], codes[None, :])
    share = np.cumsum(taste * np.array(list(_CROPS.values())), axis=1)
    chosen = (share < uniform(seed, "crop", keys)[:, None] * share[:, -1:]).sum(axis=1)
    return np.asarray(codes[chosen], dtype=np.uint8)

"""From a mask to a polygon whose rings follow the edges of pixels.

Where two pixels of the mask touch at a vertex only, a ring can pass between them or around each. Here it goes around
the pixels that are *not* in the mask, so that each ring parts the mask from one 4-connected piece of what lies outside.
Such a ring passes no vertex twice, and two rings share single points at most: for a 4-connected mask that is what a
valid polygon is (OGC 06-103r4, 6.1.11.1), without any repair, and with exactly the area of the pixels.
"""

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from shapely import Polygon

NORTH_WEST, NORTH_EAST, SOUTH_WEST, SOUTH_EAST = 1, 2, 4, 8
"""Bits for which of the four pixels around a vertex are in the mask."""
TURNS = np.array([0, 1, 1, 0, 1, 0, 2, 1, 1, 2, 0, 1, 0, 1, 1, 0], np.uint8)
"""How many times rings turn at a vertex, by these bits: twice where two pixels touch there."""


def trace(mask: NDArray[np.bool_], affine: Affine) -> Polygon:
    """Outline a mask, with a few bytes of memory a pixel beside those that its vertices take.

    Args:
        mask: The pixels, (H, W), in one 4-connected piece.
        affine: From columns and rows of the mask to coordinates.

    Returns:
        A valid polygon. Its exterior runs counter-clockwise from the right end of its first edge, counted row by row;
        its holes, ordered by their first edges, run clockwise. The same mask gives the same coordinates.
    """
    exterior, *holes = (_place(ring, affine) for ring in _rings(mask))
    polygon = Polygon(exterior, holes)
    assert polygon.is_valid, "a mask is one 4-connected piece"
    return polygon


def _place(ring: NDArray[np.int64], affine: Affine) -> NDArray[np.float64]:
    """Coordinates of vertices (N, 2), with what is inside of a ring on its left for any sense of the axes."""
    col, row = ring.T
    places = np.column_stack((affine.a * col + affine.b * row + affine.c, affine.d * col + affine.e * row + affine.f))
    return places if affine.determinant < 0 else places[::-1]


def _rings(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Follow the edges of a mask, its pixels on the left when rows count downwards.

    Rings turn at corners, and along a row of vertices every second stretch between corners is an edge, as it is along
    a column: edges need no search, corners are sorted.

    Returns:
        The exterior and then the holes, each closed, (N, 2), columns and rows of vertices.
    """
    around = _around(mask)
    turns = TURNS[around.ravel()]
    places = np.flatnonzero(turns)
    corners = np.repeat(places, turns[places])
    row, col = np.divmod(corners, around.shape[1])
    west = np.arange(0, len(corners), 2)  # corners come row by row: each of these and the next are an edge
    eastward = (around.ravel()[corners[west]] & NORTH_EAST) > 0
    tails, heads = west + ~eastward, west + eastward
    following = (_along_columns(around, corners)[heads] // 2).tolist()
    rings = []
    for edges in _cycles(following):
        ends = np.column_stack((tails[edges], heads[edges])).ravel()
        ends = np.append(ends, ends[0])
        rings.append(np.column_stack((col[ends], row[ends])))
    return rings


def _around(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which of the four pixels around each vertex are in the mask, as bits, (H + 1, W + 1)."""
    pixels = np.pad(mask, 1).view(np.uint8)
    return (
        NORTH_WEST * pixels[:-1, :-1]
        | NORTH_EAST * pixels[:-1, 1:]
        | SOUTH_WEST * pixels[1:, :-1]
        | SOUTH_EAST * pixels[1:, 1:]
    )


def _along_columns(around: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corner at the other end of each corner's vertical edge.

    Of two corners at one vertex the first has its horizontal edge in the west. That around a pixel in the south-west
    goes on to the south, and so comes second in its column.
    """
    height, width = around.shape
    is_second = np.zeros(len(corners), np.bool_)
    is_second[1:] = corners[1:] == corners[:-1]
    goes_south = is_second ^ (around.ravel()[corners] == (NORTH_WEST | SOUTH_EAST))
    row, col = np.divmod(corners, width)
    order = np.argsort((col * height + row) * 2 + goes_south, kind="stable")
    other = np.empty_like(order)
    other[order[::2]], other[order[1::2]] = order[1::2], order[::2]
    return other


def _cycles(following: list[int]) -> list[list[int]]:
    """The cycles of a permutation, each from its lowest member, ordered by that."""
    is_seen = [False] * len(following)
    cycles = []
    for first in range(len(following)):
        cycle, member = [], first
        while not is_seen[member]:
            is_seen[member] = True
            cycle.append(member)
            member = following[member]
        if cycle:
            cycles.append(cycle)
    return cycles

"""The rules of `settle`, told anew and plainly: all candidates in one list, pixels in sets, one after another."""

from types import SimpleNamespace

import numpy as np


def settle_at_once(candidates, shape, min_remain):
    """Settle a whole region.

    Returns:
        The ids, (H, W), and for each parcel its leader and its pixels, ordered by centre.
    """
    fragments, painted, parcels = [], {}, []  # painted: pixel -> founder; parcels: sets of founders
    for candidate in sorted(candidates, key=lambda c: (-c.confidence, c.row, c.col, c.patch.row, c.patch.col)):
        pixels = pixels_of(candidate, shape)
        if not pixels:
            continue
        free = {pixel for pixel in pixels if pixel not in painted}
        founders = {
            founder
            for fragment in fragments
            if _agree(candidate, pixels, fragment.candidate, fragment.pixels)
            for founder in fragment.founders
        }
        if founders:
            beside = {pixel for pixel in _around(candidate.box) if painted.get(pixel) in founders}
            for piece in pieces(free | beside):
                inside = {painted[pixel] for pixel in piece & beside}
                if inside:
                    painted |= dict.fromkeys(piece & free, min(inside, key=_rank))
                    apart = [parcel for parcel in parcels if not parcel & inside]
                    parcels = [*apart, set().union(*(parcel for parcel in parcels if parcel & inside))]
        elif free == pixels or len(free) / len(pixels) > min_remain:
            founders = {candidate}
            piece = min(pieces(free), key=lambda piece: (-len(piece), min(piece)))
            painted |= dict.fromkeys(piece, candidate)
            parcels.append({candidate})
        if founders:
            fragments.append(SimpleNamespace(candidate=candidate, pixels=pixels, founders=founders))
    return _number(parcels, painted, shape)


def pixels_of(candidate, shape):
    """The pixels of a mask within the grid, as (row, col)."""
    box = candidate.box
    places = {(box.row + row, box.col + col) for row, col in np.argwhere(candidate.mask).tolist()}
    return {(row, col) for row, col in places if 0 <= row < shape[0] and 0 <= col < shape[1]}


def pieces(pixels):
    """Sets of pixels that are connected by their sides."""
    left, found = set(pixels), []
    while left:
        edge = [left.pop()]
        piece = set(edge)
        while edge:
            row, col = edge.pop()
            near = {(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)} & left
            left -= near
            piece |= near
            edge += near
        found.append(piece)
    return found


def _agree(one, ones, other, others):
    if (one.row, one.col) == (other.row, other.col):
        return True
    if one.code != other.code or one.patch == other.patch:
        return False
    ones, others = ({pixel for pixel in each if _sees(one, pixel) and _sees(other, pixel)} for each in (ones, others))
    return bool(ones and others) and len(ones & others) / len(ones | others) >= 0.5


def _sees(candidate, pixel):
    patch = candidate.patch
    return patch.row <= pixel[0] < patch.stop_row and patch.col <= pixel[1] < patch.stop_col


def _around(box):
    return {(row, col) for row in range(box.row - 1, box.stop_row + 1) for col in range(box.col - 1, box.stop_col + 1)}


def _rank(candidate):
    return -candidate.confidence, candidate.row, candidate.col


def _number(parcels, painted, shape):
    led = sorted(((min(parcel, key=_rank), parcel) for parcel in parcels), key=lambda p: (p[0].row, p[0].col))
    ids, table = np.zeros(shape, int), []
    for number, (leader, founders) in enumerate(led, start=1):
        pixels = {pixel for pixel, founder in painted.items() if founder in founders}
        ids[tuple(np.transpose(list(pixels)))] = number
        table.append((leader, pixels))
    return ids, table

"""Candidates made by hand and by chance, and strips of them."""

from collections.abc import Iterator

import numpy as np

from sitsinfer.grid import Lattice, Window
from sitsinfer.parcels.settle import Strip
from sitsinfer.parcels.types import Candidate

LATTICE = Lattice(patch=26, margin=6, blend=0, row=3, col=10)


def rectangle(box, patch, *, code=1, confidence=0.5, centre=None):
    """A candidate whose mask fills its box, centred in it."""
    box, patch = Window(*box), Window(*patch)
    row, col = centre or (box.row + box.height // 2, box.col + box.width // 2)
    return Candidate(row, col, patch, box, code, confidence, np.ones(box.shape, np.bool_))


def random_scene(seed, shape):
    """What patches see of rectangles, cut at their edges, frayed and sometimes mistaken; also beyond the grid."""
    rng = np.random.default_rng(seed)
    beyond = Window(0, 0, *shape).expand(8)
    truth = np.zeros(beyond.shape, int)
    for number in range(1, 60):
        row, col = rng.integers(-10, beyond.shape)
        height, width = rng.integers(3, 30, 2)
        truth[max(0, row) : max(0, row + height), max(0, col) : max(0, col + width)] = number
    found = []
    for patch in LATTICE.patches(beyond):
        core = patch.expand(-LATTICE.margin)
        for number in np.unique(_part(truth, core.shift(8, 8))):
            if number and rng.random() < 0.9:
                found.append(_glimpse(rng, truth, int(number), patch, core))
    twins = [_twin(rng, found[index], patch) for index, patch in zip((3, 8), LATTICE.patches(beyond), strict=False)]
    return [found[index] for index in rng.permutation(len(found))] + [twin for twin in twins if twin]


def _glimpse(rng, truth, number, patch, core):
    """One patch's candidate for one rectangle; places of ``truth`` are shifted by 8."""
    inside = np.argwhere(_part(truth, core.shift(8, 8)) == number)
    row, col = (inside[rng.integers(len(inside))] + (max(core.row, -8), max(core.col, -8))).tolist()
    seen = np.zeros(patch.shape, np.bool_)
    within = patch.shift(8, 8).intersection(Window(0, 0, *truth.shape))
    seen[within.slices_in(patch.shift(8, 8))] = truth[within.slices_in(Window(0, 0, *truth.shape))] == number
    seen ^= rng.random(seen.shape) < rng.choice([0, 0.02, 0.2])
    seen[row - patch.row, col - patch.col] = True
    reach = rng.integers(2, 30, 4)
    box = Window(row - reach[0], col - reach[1], int(reach[0] + reach[2]), int(reach[1] + reach[3]))
    box = Window(*map(int, (box.row, box.col, box.height, box.width))).intersection(patch)
    code = number % 3 + 1 if rng.random() < 0.95 else 1
    return Candidate(row, col, patch, box, code, round(rng.uniform(0.2, 1), 1), seen[box.slices_in(patch)])


def _twin(rng, candidate, patch):
    """The same centre seen from another patch, where that holds it; a lattice has no such thing."""
    box = candidate.box.intersection(patch)
    if not patch.row <= candidate.row < patch.stop_row or not patch.col <= candidate.col < patch.stop_col:
        return None
    return Candidate(candidate.row, candidate.col, patch, box, 3, round(rng.random(), 1), np.ones(box.shape, np.bool_))


def _part(values, window):
    return values[max(0, window.row) : max(0, window.stop_row), max(0, window.col) : max(0, window.stop_col)]


def cut(candidates, height, size) -> Iterator[Strip]:
    """Strips of ``size`` rows, each with the candidates whose centres lie there, or beyond the grid beside it."""
    starts = range(0, height, size)
    groups = [[] for _ in starts]
    for candidate in candidates:
        groups[min(max(candidate.row, 0) // size, len(starts) - 1)].append(candidate)
    for index, start in enumerate(starts):
        later = [candidate.box.row for group in groups[index + 1 :] for candidate in group]
        yield Strip(range(start, min(start + size, height)), min(later, default=height + 50), groups[index])

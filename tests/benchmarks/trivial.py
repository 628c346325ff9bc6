"""``sitsinfer``, to which a model is known that costs next to nothing: what remains is the engine."""

import torch
from torch import Tensor, nn

from sitsinfer import models


class Trivial(nn.Module):
    """Scores that are the first bands of the first date, times a weight each."""

    def __init__(self, classes: int) -> None:
        """Hold a weight for each class."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(classes))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Score (B, T, C, P, P)."""
        return x[:, 0, : len(self.weight)] * self.weight[:, None, None]


def register() -> None:
    """Make the architecture known in this process."""
    models.ARCHITECTURES["trivial"] = models.Architecture("tests.benchmarks.trivial:Trivial")


if __name__ == "__main__":
    from sitsinfer.cli import main

    register()
    main()

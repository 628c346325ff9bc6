"""Where the weights are that do not come with sitsinfer, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from sitsinfer.errors import WeightsError

_RUNS_AT_ONCE = "or choose the algorithm naive, which runs at once"

_WORDS: Mapping[str, str] = {
    "dstfn": (
        "No weights of DSTFN come with sitsinfer. Its authors publish model_100.pth, a pickled object, which is never "
        "loaded as it is: save its state dict, import that with 'sitsinfer models import dstfn' and give it as the "
        f"model, {_RUNS_AT_ONCE}."
    ),
    "dsen2": (
        "No weights of DSen2 come with sitsinfer. They are L2A20M.pt, a TorchScript file, on the Hugging Face hub as "
        "simonreise/dsen2: fetch it, import it with 'sitsinfer models import dsen2' and give it as the model, "
        f"{_RUNS_AT_ONCE}."
    ),
    "deepharmo": (
        "DeepHarmo cannot run here. It is four U-Nets on the Hugging Face hub that come with code of their own, which "
        "sitsinfer does not execute, and their architecture is not part of sitsinfer. Choose another algorithm: naive "
        "runs at once."
    ),
    "utilise": (
        "U-TILISE cannot run here. Its weights and configuration are those of the U-TILISE project (elsewhere named by "
        "the environment variables UTILISE_WEIGHTS_FILE and UTILISE_CONFIGURATION_FILE), and its architecture is not "
        "part of sitsinfer. Choose another algorithm: naive runs at once."
    ),
}


def without_weights(algorithm: str) -> WeightsError:
    """The error that says why an algorithm cannot run without weights, which these are, and where they are published.

    Args:
        algorithm: ``dstfn`` or ``dsen2``, if no model was given; ``deepharmo`` or ``utilise`` in any case.
    """
    return WeightsError(_WORDS[algorithm])

"""What the tensors of a published classifier of pixel sets tell of it: its sizes, its days, and what it was fed.

Releases of pixel-set encoders with L-TAE, TAE, GRU or TempCNN hold next to nothing beside tensors. Their names tell the
encoder, their shapes the sizes, the stored table of positions the days, and the first batch norm the spread of values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sitsinfer.errors import WeightsError
from sitsinfer.weights.parcel_card import GEOMETRIC_FEATURES

if TYPE_CHECKING:
    from torch import Tensor

TABLE = "temporal_encoder.position_enc.weight"

PERIOD = 1000
"""Base of the frequencies of the table of positions, where nothing tells it: that of all that was published."""

_POOLINGS = {1: "mean", 2: "mean_std", 4: "mean_std_max_min"}
"""The pooling that a number of pooled blocks stands for, where nothing tells it: those of the publications."""

_DROPOUT = 0.2

_LAST_DAY = 3660
_TABLE_TOLERANCE = 1e-3


def architecture_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Tell which temporal encoder follows the pixel-set encoder.

    Raises:
        WeightsError: If it is none of those that are known.
    """
    for key, architecture in (
        ("temporal_encoder.attention_heads.Q", "pse_ltae"),
        ("temporal_encoder.attention_heads.fc1_q.weight", "pse_tae"),
        ("temporal_encoder.gru_cell.weight_hh_l0", "pse_gru"),
        ("temporal_encoder.conv1d.0.weight", "pse_tempcnn"),
    ):
        if key in tensors and "spatial_encoder.mlp1.0.lin.weight" in tensors:
            return architecture
    raise WeightsError(
        f"{path} is no classifier of pixel sets with L-TAE, TAE, GRU or TempCNN. Expected a published checkpoint of "
        f"one."
    )


def hyperparameters_of(
    tensors: Mapping[str, Tensor], architecture: str, path: Path, options: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Tell what a network was built with from the shapes of its tensors.

    Args:
        tensors: Its state dict.
        architecture: As :func:`architecture_of` tells.
        path: Where they come from, for errors.
        options: What shapes do not tell, where it is known: ``pooling``, ``T`` and ``dropout``.

    Returns:
        Hyper-parameters by their published names.

    Raises:
        WeightsError: If shapes do not fit together.
    """
    try:
        mlp4 = _widths(tensors, r"decoder\.\d+\.weight")
        encoder = _ENCODERS[architecture](tensors, mlp4[0], options)
        return {**_pixel_set_encoder(tensors, options), **encoder, "mlp4": mlp4}
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{path} lacks tensors of '{architecture}', or their shapes do not fit together. Fetch it again."
        ) from error


def _widths(tensors: Mapping[str, Tensor], names: str) -> list[int]:
    """Widths of a perceptron, the input first: its layers are the matrices of these names, in order."""
    shapes = [tuple(value.shape) for name, value in tensors.items() if re.fullmatch(names, name) and value.ndim == 2]
    return [shapes[0][1], *(rows for rows, _ in shapes)] if shapes else []


def _pixel_set_encoder(tensors: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Any]:
    mlp1 = _widths(tensors, r"spatial_encoder\.mlp1\.\d+\.lin\.weight")
    mlp2 = _widths(tensors, r"spatial_encoder\.mlp2\.\d+\.weight")
    blocks, extra = divmod(mlp2[0], mlp1[-1])
    if extra not in (0, GEOMETRIC_FEATURES):
        raise ValueError
    return {
        "input_dim": mlp1[0],
        "mlp1": mlp1,
        "pooling": options.get("pooling") or _POOLINGS[blocks],
        "mlp2": mlp2,
        "with_extra": bool(extra),
        "extra_size": extra or None,
    }


def _positions(tensors: Mapping[str, Tensor], size: int, options: Mapping[str, Any]) -> list[int] | None:
    days = days_of_table(tensors[TABLE], size, options.get("T", PERIOD))
    # A network that only knows the order of its dates encodes 1 to T and keeps a row for 0.
    return None if days == list(range(len(tensors[TABLE]))) else days


def _attention(
    tensors: Mapping[str, Tensor], size: int, n_head: int, d_k: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Hyper-parameters that L-TAE and TAE share; ``size``: features that encode a day."""
    positions = _positions(tensors, size, options)
    norm = tensors.get("temporal_encoder.inconv.1.weight")
    return {
        "n_head": n_head,
        "d_k": d_k,
        "d_model": None if norm is None else len(norm),
        "dropout": options.get("dropout", _DROPOUT),
        "T": options.get("T", PERIOD),
        "len_max_seq": norm.shape[1] if norm is not None else len(tensors[TABLE]) - (positions is None),
        "positions": positions,
    }


def _ltae(tensors: Mapping[str, Tensor], out: int, options: Mapping[str, Any]) -> dict[str, Any]:
    n_head, d_k = tensors["temporal_encoder.attention_heads.Q"].shape
    mlp3 = _widths(tensors, r"temporal_encoder\.mlp\.\d+\.weight") or [out]
    return {**_attention(tensors, tensors[TABLE].shape[1] // n_head, n_head, d_k, options), "mlp3": mlp3}


def _tae(tensors: Mapping[str, Tensor], out: int, options: Mapping[str, Any]) -> dict[str, Any]:
    keys, features = tensors["temporal_encoder.attention_heads.fc1_q.weight"].shape
    mlp3 = _widths(tensors, r"temporal_encoder\.mlp\.\d+\.weight") or [out]
    n_head = mlp3[0] // features  # every head attends over all features
    return {**_attention(tensors, tensors[TABLE].shape[1], n_head, keys // n_head, options), "mlp3": mlp3}


def _gru(tensors: Mapping[str, Tensor], out: int, options: Mapping[str, Any]) -> dict[str, Any]:
    hidden_dim = tensors["temporal_encoder.gru_cell.weight_hh_l0"].shape[1]
    return {"hidden_dim": hidden_dim, "positions": _positions_if_any(tensors, options)}


def _tempcnn(tensors: Mapping[str, Tensor], out: int, options: Mapping[str, Any]) -> dict[str, Any]:
    convolutions = [value for name, value in tensors.items() if name.startswith("temporal_encoder.conv1d.")]
    kernels = [len(value) for value in convolutions if value.ndim == 3]
    features, *mlp3 = _widths(tensors, r"temporal_encoder\.linear\.\d+\.weight")
    return {
        "nker": kernels,
        "mlp3": mlp3,
        "seq_len": features // kernels[-1],
        "positions": _positions_if_any(tensors, options),
    }


def _positions_if_any(tensors: Mapping[str, Tensor], options: Mapping[str, Any]) -> list[int] | None:
    """Days of a table that an encoder may do without, and whose first row it skips."""
    return _positions(tensors, tensors[TABLE].shape[1], options) if TABLE in tensors else None


_ENCODERS = {"pse_ltae": _ltae, "pse_tae": _tae, "pse_gru": _gru, "pse_tempcnn": _tempcnn}


def days_of_table(table: Tensor, size: int, period: float = PERIOD) -> list[int] | None:
    """Tell the days that a table of positions encodes.

    Args:
        table: One row a date, (T, D).
        size: Features that encode a day; a table for several heads repeats them.
        period: Base of its frequencies.

    Returns:
        The day of each row, counted from the day of the published data's first date, or ``None`` if a row encodes no
        whole day of ten years.
    """
    import torch

    from sitsinfer.models.ltae import positional_encoding

    days = torch.arange(_LAST_DAY + 1, dtype=torch.float64)
    far = torch.cdist(table[:, :size].double(), positional_encoding(days, size, period).double(), p=torch.inf)
    distance, nearest = far.min(dim=1)
    return None if (distance > _TABLE_TOLERANCE).any() else nearest.tolist()


def spread_seen(folds: Sequence[Mapping[str, Tensor]]) -> NDArray[np.float64] | None:
    """Tell how far the normalised values of each band spread in training.

    The first layer computes ``W x + b`` of the bands ``x`` of a pixel, and the batch norm behind it keeps the variance
    of each of its outputs: ``w S w`` for a row ``w`` of W and the covariance S of the bands. That is linear in S, which
    the rows of several folds determine by least squares.

    Args:
        folds: State dicts of networks that were trained on the same normalised data.

    Returns:
        The standard deviation of each band, (C,), which is 1 where data were normalised by statistics of their own, or
        ``None`` if the rows are too few to tell.
    """
    weight = np.concatenate([fold["spatial_encoder.mlp1.0.lin.weight"].double().numpy() for fold in folds])
    variance = np.concatenate([fold["spatial_encoder.mlp1.0.bn.running_var"].double().numpy() for fold in folds])
    rows, cols = np.triu_indices(weight.shape[1])
    products = weight[:, rows] * weight[:, cols] * np.where(rows == cols, 1, 2)
    covariance, _, rank, _ = np.linalg.lstsq(products / variance[:, None], np.ones(len(variance)), rcond=1e-6)
    spread = covariance[rows == cols]
    return np.sqrt(spread) if rank == len(rows) and (spread > 0).all() else None

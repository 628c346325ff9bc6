"""Checkpoints and configurations as they are published, with weights of our own."""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sitsinfer import models
from sitsinfer.weights.release import BANDS, network_options
from tests.fakes import TINY_UTAE

TINY_TAMRF: dict[str, Any] = {
    "hr_bands": 10,
    "lr_bands": 8,
    "latent_size": 6,
    "hr_basic_blocks": 1,
    "lr_basic_blocks": 1,
    "growth_channels": 2,
    "ratio": 3,
    "positional_features": 4,
    "positional_div": 365.0,
    "sensor_token_size": 2,
    "heads": 2,
    "layers": 2,
    "feed_forward": 5,
    "decoder_heads": 3,
    "decoder_feed_forward": 256,
}
"""Hyper-parameters of a TAMRF that computes at once."""

NUMBERS = {
    "hr_mean": [0.1 + band / 100 for band in range(10)],
    "hr_std": [0.2] * 10,
    "lr_mean": [0.1 + band / 100 for band in range(8)],
    "lr_std": [0.15] * 8,
    "hr_mtf": [1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 1.0, 0.3, 0.3, 0.3],
    "hr_resolution": [10.0, 10.0, 10.0, 20.0, 20.0, 20.0, 10.0, 20.0, 20.0, 20.0],
    "lr_mtf": [0.3] * 7 + [0.2],
    "lr_resolution": [30.0] * 7 + [90.0],
}

CONFIG = """
# What a training left behind: composed, with its references as they were written.
name: tiny
sizes:
  token: 6
  sensor_token: ${sizes.half_of_four}
  half_of_four: 2
  width: 12
  ratio: 3
  data_folder: ${oc.env:DATA}
data:
  mean: {first: 0.1}
  stats:
    hr_mean: [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19]
    hr_std: [0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 2e-1]
    lr_mean: ["${data.mean.first}", 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17]
    lr_std: [0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15]
datamodule:
  _target_: some.package.DataModule
  folder: ${sizes.data_folder}
training_module:
  _target_: some.package.LightningModule
  optimizer: {lr: "${oc.env:RATE}"}
  training_module:
    encoder:
      _target_: some.package.SITSEncoder
      token_size: ${sizes.token}
      sensor_token_size: ${sizes.sensor_token}
      nb_heads: 2
      nb_layers: 2
      dim_feedforward: 5
      hr_encoder:
        model:
          _target_: some.package.DenseEncoder
          in_nb_bands: 10
          latent_size: ${sizes.token}
          num_basic_blocks: 1
          growth_channels: 2
          upsampling_factor: 1
          upsampling_mode: pixel_shuffle
      lr_encoder:
        model:
          _target_: some.package.DenseEncoder
          in_nb_bands: 8
          latent_size: ${sizes.token}
          num_basic_blocks: 1
          growth_channels: ${training_module.training_module.encoder.hr_encoder.model.growth_channels}
          upsampling_factor: ${sizes.ratio}
          upsampling_base: 3
          upsampling_mode: bicubic
      temporal_positional_encoder:
        _target_: some.package.FixedEncoder
        nb_features: 4
        div: 365.
        mode: CONCAT
    decoder:
      _target_: some.package.Decoder
      token_size: ${training_module.training_module.encoder.token_size}
      sensor_token_size: ${training_module.training_module.encoder.sensor_token_size}
      nb_heads: 3
      decoder:
        model:
          _target_: some.package.ConvDecoder
          latent_size: ${sizes.width}
          out_nb_bands: 18
  parameters:
    standardization: ${data.stats}
    mtfs:
      hr_mtf: [1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3]
      hr_resolution: [10, 10, 10, 20, 20, 20, 10, 20, 20, 20]
      lr_mtf: [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.2]
      lr_resolution: [30, 30, 30, 30, 30, 30, 30, 90]
      output_resolution: 10
"""


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise AssertionError('code in a pickle was run')",)


def script(path: Path, module: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch writes TorchScript no longer gladly
        torch.jit.save(torch.jit.script(module), path)


def tamrf_tensors(hyperparameters: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors of a checkpoint: buffers, the network, partly compiled, and the network of a loss."""
    torch.manual_seed(0)
    network = models.build("tamrf", hyperparameters).state_dict()
    return {
        **{name: torch.tensor(values) for name, values in NUMBERS.items()},
        **{
            f"the_modules.{name}".replace(".hr_encoder.", ".hr_encoder._orig_mod."): value
            for name, value in network.items()
        },
        "cca_loss_instance.vgg.0.weight": torch.zeros(2, 3),
    }


def write_tamrf(folder: Path, tensors: dict[str, Tensor] | None = None, config: str = CONFIG) -> tuple[Path, Path]:
    """Write a checkpoint and its Hydra folder, and return both."""
    hydra = folder / "hydra_config"
    hydra.mkdir(parents=True)
    (hydra / "config.yaml").write_text(config)
    (hydra / "overrides.yaml").write_text("- experiment=tiny\n")
    content = {"epoch": 7, "state_dict": tamrf_tensors(TINY_TAMRF) if tensors is None else tensors, "loops": {}}
    torch.save(content, folder / "1_tiny.ckpt")
    return folder / "1_tiny.ckpt", hydra


def write_paps(folder: Path, tuned: Mapping[int, float], **changes: Any) -> Path:
    """Write a panoptic release of tiny networks.

    Args:
        folder: Where to.
        tuned: The least confidence that each fold's checkpoint holds.
        **changes: Options that differ.

    Returns:
        The folder.
    """
    heads = {
        "num_classes": 20,
        "shape_size": 16,
        "mask_conv": True,
        "min_confidence": 0.2,
        "min_remain": 0.5,
        "mask_threshold": 0.4,
    }
    conf: dict[str, Any] = {
        "backbone": "utae",
        **TINY_UTAE,
        "out_conv": [4, 20],
        **heads,
        "background_label": 0,
        "void_label": 19,
        "ref_date": "2018-09-01",
        "mono_date": None,
        "lr": 0.01,
        **changes,
    }
    backbone, encoder = network_options(conf["backbone"], conf, folder)
    del encoder["input_dim"]
    options = {"input_dim": len(BANDS), "backbone": backbone, "encoder": encoder, **{key: conf[key] for key in heads}}
    for fold, confidence in tuned.items():
        torch.manual_seed(fold)
        network = models.build("paps", {**options, "min_confidence": confidence})
        (folder / f"Fold_{fold}").mkdir(parents=True)
        content = {"epoch": 3, "state_dict": network.state_dict(), "optimizer": {"state": {}, "param_groups": []}}
        torch.save(content, folder / f"Fold_{fold}" / "model.pth.tar")
    (folder / "conf.json").write_text(json.dumps(conf))
    return folder


PSE_LEVELS: dict[str, Any] = {
    "input_dim": len(BANDS),
    "mlp1": [len(BANDS), 4, 6],
    "pooling": "mean_std",
    "mlp2": [16, 8],
    "with_extra": True,
    "extra_size": 4,
}

PSE_DAYS = [0, 13, 41, 97, 222]

TINY_PSE: dict[str, dict[str, Any]] = {
    "pse_ltae": {
        **PSE_LEVELS,
        "n_head": 2,
        "d_k": 3,
        "d_model": 12,
        "dropout": 0.2,
        "T": 1000,
        "len_max_seq": 5,
        "positions": PSE_DAYS,
        "mlp3": [12, 7],
        "mlp4": [7, 9, 20],
    },
    "pse_tae": {
        **PSE_LEVELS,
        "n_head": 2,
        "d_k": 3,
        "d_model": None,
        "dropout": 0.2,
        "T": 1000,
        "len_max_seq": 5,
        "positions": PSE_DAYS,
        "mlp3": [16, 7, 5],
        "mlp4": [5, 20],
    },
    "pse_gru": {**PSE_LEVELS, "hidden_dim": 5, "positions": None, "mlp4": [5, 20]},
    "pse_tempcnn": {
        **PSE_LEVELS,
        "nker": [3, 4],
        "mlp3": [6],
        "seq_len": 5,
        "positions": None,
        "mlp4": [6, 20],
    },
}
"""Hyper-parameters of tiny classifiers of parcels, in full."""


def write_pse(
    folder: Path, architecture: str = "pse_ltae", folds: tuple[int, ...] = (1, 2), conf: Any = None, **changes: Any
) -> Path:
    """Write a release of tiny classifiers of parcels, in the old serialisation.

    Args:
        folder: Where to.
        architecture: Which.
        folds: Which folds.
        conf: What ``conf.json`` is to hold; None: there is none.
        **changes: Hyper-parameters that differ from :data:`TINY_PSE`.

    Returns:
        The folder.
    """
    for fold in folds:
        torch.manual_seed(fold)
        network = models.build(architecture, {**TINY_PSE[architecture], **changes})
        (folder / f"Fold_{fold}").mkdir(parents=True)
        content = {"epoch": 3, "state_dict": network.state_dict(), "optimizer": {"state": {}, "param_groups": []}}
        torch.save(content, folder / f"Fold_{fold}" / "model.pth.tar", _use_new_zipfile_serialization=False)
    if conf is not None:
        (folder / "conf.json").write_text(json.dumps(conf))
    return folder

"""``sitsinfer models``: what models there are, and how to add published ones."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitsinfer.cli._options import ReferenceDate, names

if TYPE_CHECKING:
    from sitsinfer.weights import AnyCard, Card, FusionCard, ParcelCard

Release = Annotated[Path, typer.Argument(help="The release: conf.json and Fold_1 to Fold_5.", show_default=False)]
NormFile = Annotated[Path, typer.Option("--norm", help="NORM_S2_patch.json of PASTIS.", show_default=False)]
OutFolder = Annotated[Path, typer.Option(help="Model folder to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")]


class Units(StrEnum):
    """What statistics in a file are of."""

    DIGITAL_NUMBERS = "digital-numbers"
    REFLECTANCE = "reflectance"


PixelSetRelease = Annotated[
    Path, typer.Argument(help="The release: Fold_1 and so on and, if there is one, conf.json.", show_default=False)
]
StatisticsFile = Annotated[
    Path | None,
    typer.Option(
        "--statistics",
        metavar="FILE",
        help="mean and std of the training data, .npz or .json: a number, one a band, or one a date and band.",
        show_default=False,
    ),
]
StatisticsUnits = Annotated[
    Units, typer.Option(help="What these are of: digital numbers (reflectance x 10000, as published) or reflectance.")
]
StatisticsFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="SERIES",
        help="Without that file: the series to be classified, for its own statistics.",
        show_default=False,
    ),
]
Folds = Annotated[
    str | None,
    typer.Option(metavar="K,...", help="Folds whose log-probabilities are averaged.", show_default="all"),
]
Days = Annotated[
    str | None,
    typer.Option(metavar="D,...", help="Days of the dates, counted from the first.", show_default="as the weights say"),
]

app = typer.Typer(no_args_is_help=True, help="List, show and import models.")
import_app = typer.Typer(no_args_is_help=True, help="Turn a published checkpoint into a model folder.")
app.add_typer(import_app, name="import")


class NormFolds(StrEnum):
    """Folds whose statistics normalise the input."""

    TRAIN = "train"
    TEST = "test"


NormFoldsOption = Annotated[
    NormFolds,
    typer.Option("--norm-folds", help="Normalise by the folds trained on, or by the one tested on as published."),
]


@app.command("list")
def list_models() -> None:
    """List the models that come with sitsinfer."""
    from sitsinfer import weights

    for name in weights.list_models():
        card, _ = weights.load_any_card(name)
        typer.echo(f"{name}  {card.title}")


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or a model folder.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print model.json as it is.")] = False,
) -> None:
    """Show what a model feeds on and what it tells."""
    from sitsinfer import weights

    card, folder = weights.load_any_card(model)
    if json:
        typer.echo(card.to_json(), nl=False)
        return
    lines = {
        "model": f"{card.name} ({card.architecture})",
        "folder": str(folder),
        "title": card.title,
        "about": card.description,
        **_of_task(card),
        "licence": card.licence,
        "cite": card.citation,
        "source": card.source,
        "sha256": card.digest,
    }
    for name, value in lines.items():
        if value:
            typer.echo(f"{name:<8} {value}")


def _of_task(card: "AnyCard") -> dict[str, str]:
    from sitsinfer import weights

    if isinstance(card, weights.FusionCard):
        return _of_fusion(card)
    return _of_sets(card) if isinstance(card, weights.ParcelCard) else _of_one_sensor(card)


def _of_one_sensor(card: "Card") -> dict[str, str]:
    """What cards for ``segment`` and ``panoptic`` tell."""
    return {
        "sensor": card.sensor,
        "bands": " ".join(card.bands),
        "dates": "days of the year" if card.positions == "day-of-year" else f"days since {card.reference_date}",
        **(_of_parcels(card) if card.task == "panoptic" else _of_scores(card)),
        "classes": ", ".join(f"{entry.code} {entry.name}" for entry in card.predicted),
    }


def _of_scores(card: "Card") -> dict[str, str]:
    return {
        "patch": f"{card.patch} pixels, margin {card.margin}, blend {card.blend}, fill {card.fill}",
        "members": str(len(card.members)),
    }


def _of_parcels(card: "Card") -> dict[str, str]:
    """Parcels are settled, not blended, and of one network."""
    thresholds = {name: card.hyperparameters.get(name) for name in ("min_confidence", "min_remain", "mask_threshold")}
    return {
        "patch": f"{card.patch} pixels, margin {card.margin}, fill {card.fill}",
        "parcels": ", ".join(f"{name} {value}" for name, value in thresholds.items() if value is not None),
    }


def _of_sets(card: "ParcelCard") -> dict[str, str]:
    """What cards for ``classify`` tell."""
    return {
        "sensor": card.sensor,
        "bands": " ".join(card.bands),
        "dates": f"{len(card.days)}, on days {', '.join(map(str, card.days))} since {card.reference_date} or an "
        f"anniversary of it",
        "pixels": f"at most {card.pixels} of a parcel" + (", and its geometric features" * card.takes_geometry),
        "members": str(len(card.members)),
        "classes": ", ".join(f"{entry.code} {entry.name}" for entry in card.predicted),
    }


def _of_fusion(card: "FusionCard") -> dict[str, str]:
    origin = "January 1st" if card.reference == "first-of-year" else str(card.reference)
    return {
        **{key: f"{sensor.sensor}: {' '.join(sensor.bands)}" for key, sensor in card.sensors.items()},
        "dates": f"days since {origin}, 0 to {card.days - 1}",
    }


@import_app.command("utae")
def import_utae(
    folder: Release,
    norm: NormFile,
    out: OutFolder,
    fold: Annotated[str, typer.Option(help="1 to 5, or all: their scores are averaged.", metavar="1-5|all")] = "all",
    norm_folds: NormFoldsOption = NormFolds.TRAIN,
    overwrite: Overwrite = False,
) -> None:
    """Import U-TAE, or a competitor in its paper, as released with PASTIS."""
    from sitsinfer import weights

    if fold != "all" and not fold.isdecimal():
        raise typer.BadParameter(f"'{fold}' is no fold. Expected 1 to 5, or all.", param_hint="--fold")
    _check_free(out, overwrite)
    folds = [] if fold == "all" else [int(fold)]
    card = weights.import_utae(folder, folds, norm, out, norm_folds=norm_folds.value)
    typer.echo(f"{out}  {card.title}")


@import_app.command("paps")
def import_paps(
    folder: Release,
    norm: NormFile,
    out: OutFolder,
    fold: Annotated[str, typer.Option(help="1 to 5: parcels of several networks have no mean.", metavar="1-5")] = "1",
    norm_folds: NormFoldsOption = NormFolds.TRAIN,
    overwrite: Overwrite = False,
) -> None:
    """Import PaPs, which finds parcels, on U-TAE or U-ConvLSTM, as released with PASTIS."""
    from sitsinfer import weights

    if not fold.isdecimal():
        raise typer.BadParameter(
            f"'{fold}' is no fold. Choose one from 1 to 5: parcels of several networks have no mean.",
            param_hint="--fold",
        )
    _check_free(out, overwrite)
    card = weights.import_paps(folder, int(fold), norm, out, norm_folds=norm_folds.value)
    typer.echo(f"{out}  {card.title}")


@import_app.command("pse-tae")
@import_app.command("pse-ltae")
def import_pse(
    folder: PixelSetRelease,
    out: OutFolder,
    statistics: StatisticsFile = None,
    statistics_units: StatisticsUnits = Units.DIGITAL_NUMBERS,
    statistics_from: StatisticsFrom = None,
    folds: Folds = None,
    days: Days = None,
    reference_date: ReferenceDate = None,
    overwrite: Overwrite = False,
) -> None:
    """Import a classifier of parcels: a pixel-set encoder with L-TAE, TAE, GRU or TempCNN.

    Releases do not hold the mean and standard deviation that normalised the training data. Give them as a file, or name
    the series that is to be classified: its own are taken, and scaled to the spread that the weights were trained on.
    """
    from sitsinfer.api.imports import import_pse as import_release

    _check_free(out, overwrite)
    card = import_release(
        folder,
        out,
        statistics=statistics,
        statistics_units=statistics_units.value,
        statistics_from=statistics_from,
        folds=_numbers(folds, "--folds"),
        days=_numbers(days, "--days"),
        reference_date=reference_date,
    )
    typer.echo(f"{out}  {card.title}")


@import_app.command("tamrf")
def import_tamrf(
    checkpoint: Annotated[Path, typer.Argument(help="The published checkpoint, .ckpt.", show_default=False)],
    out: OutFolder,
    config: Annotated[
        Path | None, typer.Option(help="The published folder hydra_config, or the one around it.", show_default=False)
    ] = None,
    assume_release: Annotated[
        bool,
        typer.Option(
            "--assume-release", help="Without --config: 4 heads, days as in the release, means of the checkpoint."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Import TAMRF, which fuses Landsat and Sentinel-2."""
    from sitsinfer import weights
    from sitsinfer.weights.checkpoint import check_there

    check_there(checkpoint)
    if config is not None and assume_release:
        raise typer.BadParameter("--config and --assume-release are both given. Choose one.", param_hint="--config")
    if config is None and not assume_release:
        raise typer.BadParameter(
            "Give --config with the published configuration or, if there is none, --assume-release.",
            param_hint="--config",
        )
    _check_free(out, overwrite)
    typer.echo(f"{out}  {weights.import_tamrf(checkpoint, config, out).title}")


@import_app.command("dstfn")
def import_dstfn(
    file: Annotated[Path, typer.Argument(help="Its state dict: .safetensors or .pth.", show_default=False)],
    out: OutFolder,
    overwrite: Overwrite = False,
) -> None:
    """Import DSTFN, which predicts Sentinel-2 from Landsat."""
    from sitsinfer import weights

    _check_free(out, overwrite)
    typer.echo(f"{out}  {weights.import_dstfn(file, out).title}")


@import_app.command("dsen2")
def import_dsen2(
    file: Annotated[Path, typer.Argument(help="The published TorchScript file, L2A20M.pt.", show_default=False)],
    out: OutFolder,
    overwrite: Overwrite = False,
) -> None:
    """Import DSen2, which sharpens the 20 m bands of Sentinel-2."""
    from sitsinfer import weights

    _check_free(out, overwrite)
    typer.echo(f"{out}  {weights.import_dsen2(file, out).title}")


def _check_free(out: Path, overwrite: bool) -> None:
    from sitsinfer.errors import OutputError

    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists. Set overwrite to replace it.")


def _numbers(text: str | None, option: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between; none where nothing is given."""
    found = names(text) or ()
    if not all(number.isdecimal() for number in found):
        raise typer.BadParameter(f"Expected whole numbers with commas between, not '{text}'.", param_hint=option)
    return tuple(int(number) for number in found)

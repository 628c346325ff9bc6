"""``sitsinfer models``: what models there are, and how to add published ones."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="List, show and import models.")
import_app = typer.Typer(no_args_is_help=True, help="Turn a published checkpoint into a model folder.")
app.add_typer(import_app, name="import")


class NormFolds(StrEnum):
    """Folds whose statistics normalise the input."""

    TRAIN = "train"
    TEST = "test"


@app.command("list")
def list_models() -> None:
    """List the models that come with sitsinfer."""
    from sitsinfer import weights

    for name in weights.list_models():
        card, _ = weights.load_card(name)
        typer.echo(f"{name}  {card.title}")


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Name of an embedded model, or a model folder.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print model.json as it is.")] = False,
) -> None:
    """Show what a model feeds on and what it tells."""
    from sitsinfer import weights

    card, folder = weights.load_card(model)
    if json:
        typer.echo(card.to_json(), nl=False)
        return
    when = "days of the year" if card.positions == "day-of-year" else f"days since {card.reference_date}"
    lines = {
        "model": f"{card.name} ({card.architecture})",
        "folder": str(folder),
        "title": card.title,
        "about": card.description,
        "sensor": card.sensor,
        "bands": " ".join(card.bands),
        "dates": when,
        "patch": f"{card.patch} pixels, margin {card.margin}, blend {card.blend}, fill {card.fill}",
        "members": str(len(card.members)),
        "classes": ", ".join(f"{entry.code} {entry.name}" for entry in card.predicted),
        "licence": card.licence,
        "cite": card.citation,
        "source": card.source,
        "sha256": card.digest,
    }
    for name, value in lines.items():
        if value:
            typer.echo(f"{name:<8} {value}")


@import_app.command("utae")
def import_utae(
    folder: Annotated[Path, typer.Argument(help="The release: conf.json and Fold_1 to Fold_5.", show_default=False)],
    norm: Annotated[Path, typer.Option(help="NORM_S2_patch.json of PASTIS.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Model folder to write.", show_default=False)],
    fold: Annotated[str, typer.Option(help="1 to 5, or all: their scores are averaged.", metavar="1-5|all")] = "all",
    norm_folds: Annotated[
        NormFolds, typer.Option(help="Normalise by the folds trained on, or by the one tested on as published.")
    ] = NormFolds.TRAIN,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
) -> None:
    """Import U-TAE, or a competitor in its paper, as released with PASTIS."""
    from sitsinfer import weights
    from sitsinfer.errors import OutputError

    if fold != "all" and not fold.isdecimal():
        raise typer.BadParameter(f"'{fold}' is no fold. Expected 1 to 5, or all.", param_hint="--fold")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} already exists. Set overwrite to replace it.")
    folds = [] if fold == "all" else [int(fold)]
    card = weights.import_utae(folder, folds, norm, out, norm_folds=norm_folds.value)
    typer.echo(f"{out}  {card.title}")

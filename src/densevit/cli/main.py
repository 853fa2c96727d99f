"""`densevit`: the verbs together, and what happens to errors: one line, exit code 1 or 2, never a traceback."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from densevit import __version__
from densevit.cli import classify, convert, evaluate, info, masks, models, segment, train, upscale
from densevit.core.messages import one_line

app = typer.Typer(
    name="densevit",
    help="EfficientViT for dense prediction: an image in, a dense answer out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich costs a noticeable part of the start
)
app.command("segment")(segment.segment)
app.command("classify")(classify.classify)
app.command("upscale")(upscale.upscale)
app.command("masks")(masks.masks)
app.command("models")(models.models)
app.command("info")(info.info)
app.command("convert")(convert.convert)
app.command("eval")(evaluate.evaluate)
app.command("train")(train.train)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"densevit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Entry point of the `densevit` command."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("densevit").setLevel(logging.INFO)
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output went away, which is its right
        sys.stderr.close()
        sys.exit(1)
    except (ValueError, OSError, ArithmeticError, MemoryError) as error:
        # refusals for users are ValueErrors; the system's are OSErrors; both name their file
        typer.echo(f"error: {one_line(error)}", err=True)
        sys.exit(2 if isinstance(error, ValueError) else 1)

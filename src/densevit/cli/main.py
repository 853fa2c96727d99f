"""`densevit`: all verbs, and how errors end: one line and exit code 1 or 2 for what the user can mend."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from densevit import __version__
from densevit.cli import classify, convert, evaluate, info, masks, models, segment, train, upscale
from densevit.core.errors import DensevitError, UsageError
from densevit.core.messages import one_line

app = typer.Typer(
    name="densevit",
    help="EfficientViT for dense prediction: segmentation, super-resolution, masks and classification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich would slow down every start
)


def _add_verb(name: str, verb: Callable[..., None], example: str) -> None:
    # \b keeps click from wrapping the line
    app.command(name, epilog=f"\b\nEXAMPLE\n  {example}")(verb)


_add_verb("segment", segment.segment, segment.EXAMPLE)
_add_verb("classify", classify.classify, classify.EXAMPLE)
_add_verb("upscale", upscale.upscale, upscale.EXAMPLE)
_add_verb("masks", masks.masks, masks.EXAMPLE)
_add_verb("models", models.models, models.EXAMPLE)
_add_verb("info", info.info, info.EXAMPLE)
_add_verb("convert", convert.convert, convert.EXAMPLE)
_add_verb("eval", evaluate.evaluate, evaluate.EXAMPLE)
_add_verb("train", train.train, train.EXAMPLE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"densevit {__version__}")
        raise typer.Exit


@app.callback()
def _accept_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Entry point of the `densevit` command.

    Exit codes: 0 done, 1 something failed, 2 wrong use, 130 interrupted. Any other exception is a bug and keeps
    its traceback.
    """
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("densevit").setLevel(logging.INFO)
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output closed it, as `head` does
        sys.stderr.close()
        sys.exit(1)
    except DensevitError as error:
        _exit_with(error, 2 if isinstance(error, UsageError) else 1)
    except MemoryError as error:
        _exit_with(error, 1)
    except OSError as error:
        # about a named file or a full disk the system's own message says enough; anything else is a bug
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _exit_with(error, 1)


def _exit_with(error: Exception, code: int) -> NoReturn:
    typer.echo(f"error: {one_line(error)}", err=True)
    sys.exit(code)

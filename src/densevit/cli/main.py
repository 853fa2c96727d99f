"""`densevit`: all verbs, and how errors end: one line and exit code 1 or 2 for what the user can mend."""

from __future__ import annotations

import errno
import logging
import sys
from dataclasses import dataclass
from typing import NoReturn

from cyclopts import App, CycloptsError

from densevit import __version__
from densevit.cli.flags import STDIN
from densevit.core.errors import DensevitError, UsageError
from densevit.core.messages import one_line


@dataclass(frozen=True)
class Verb:
    """A verb; its module is imported when it is called.

    Attributes:
        function: "module:function".
        help: one line.
        example: the end of its help.
        raw: whether it reads its flags itself.
    """

    function: str
    help: str
    example: str
    raw: bool = False


VERBS: dict[str, Verb] = {
    "segment": Verb(
        "densevit.cli.segment:segment",
        "Find the class of every pixel.",
        "densevit segment street.jpg --format overlay,labels",
    ),
    "classify": Verb(
        "densevit.cli.classify:classify",
        "Name the most probable classes of every image.",
        "densevit classify cat.jpg --top 3",
    ),
    "upscale": Verb(
        "densevit.cli.upscale:upscale",
        "Enlarge images; transparency, 16-bit depth, orientation and color profile are kept.",
        "densevit upscale photo.jpg --compare",
    ),
    "masks": Verb(
        "densevit.cli.masks:masks",
        "Find the masks of objects: by boxes, by points, or of everything.",
        "densevit masks street.jpg --model mobile-sam --box 40,60,300,400",
    ),
    "models": Verb(
        "densevit.cli.models:models",
        "List all models: their cost, published scores, and where their weights are.",
        "densevit models --json",
    ),
    "info": Verb(
        "densevit.cli.info:info",
        "Describe a model or file: task, classes, sizes, cost, weights.",
        "densevit info cls-b1-r224",
    ),
    "convert": Verb(
        "densevit.cli.convert:convert",
        "Convert official or timm weights to densevit's .safetensors format.",
        "densevit convert efficientvit_b1_r224.pt b1.safetensors",
    ),
    "eval": Verb(
        "densevit.cli.evaluate:evaluate",
        "Measure a model's scores on a data set.",
        "densevit eval seg-b0-camvid --data camvid:data/camvid",
    ),
    "train": Verb(
        "densevit.cli.train:train",
        "Train a model by a recipe.",
        "densevit train camvid --data data/camvid --out runs/camvid --steps 2000",
        raw=True,
    ),
    "completion": Verb(
        "densevit.cli.completion:completion",
        "Print the completion script of a shell.",
        "densevit completion bash > ~/.local/share/bash-completion/completions/densevit",
    ),
}


def make_app() -> App:
    """All verbs as one application of the command line library."""
    app = App(
        name="densevit",
        help="EfficientViT for dense prediction: segmentation, super-resolution, masks and classification.",
        version=f"densevit {__version__}",
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, verb in VERBS.items():
        app.command(
            verb.function,
            name=name,
            help=verb.help,
            help_epilogue=f"EXAMPLE\n  {verb.example}",
            **({"help_flags": ()} if verb.raw else {}),
        )
    return app


def main() -> None:
    """Entry point of the `densevit` command.

    Exit codes: 0 done, 1 something failed, 2 wrong use, 130 interrupted. Any other exception is a bug and keeps
    its traceback.
    """
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("densevit").setLevel(logging.INFO)
    tokens = [STDIN if token == "-" else token for token in sys.argv[1:]]
    try:
        make_app()(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _exit_with(error, 2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
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
    print(f"error: {one_line(error)}", file=sys.stderr)
    sys.exit(code)

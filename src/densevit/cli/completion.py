"""`densevit completion`."""

from __future__ import annotations

from typing import Annotated, Literal

from densevit.cli.flags import make_verb


@make_verb
def completion(shell: Annotated[Literal["bash", "zsh", "fish"], "The shell."]) -> None:
    """Print the completion script of a shell: verbs, flags and their choices."""
    from densevit.cli.main import make_app

    print(make_app().generate_completion(shell=shell))

"""The command line: one file per verb."""

from densevit.cli.main import main

__all__ = ["main"]

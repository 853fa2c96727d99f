"""Runs a script of benchmarks/ or tools/ in this process, which spares a start of torch."""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_script(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    """`python NAME ARGUMENTS` with the script's folder on the path, as Python itself has it."""
    path = ROOT / name
    monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
    monkeypatch.syspath_prepend(str(path.parent))
    code = 0
    # a user's Python does not make errors of the libraries' warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as done:
            code = done.code or 0
    assert code == 0

"""The command line, in this process where that is cheaper."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from densevit.cli import main


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr, each of which is one error."""
        lines = self.err.splitlines()
        assert all(line.startswith("error: ") for line in lines), self.err
        return lines


@pytest.fixture
def densevit(monkeypatch, capsys, tmp_path):
    """Runs `densevit ARGUMENTS` in an empty folder, as the installed command does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DENSEVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["densevit", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    return run


@pytest.fixture
def written():
    """The files below a folder, as texts."""

    def names(folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    return names

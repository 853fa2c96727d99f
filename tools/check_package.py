"""Builds wheel and sdist, installs each into a clean environment, and runs what is installed there.

    python tools/check_package.py

`make test-package` calls it. It needs the package `build` and a package index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cyclopts import run

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "examples" / "leuven_street.jpg"
NEEDED = (
    "densevit/py.typed",
    "densevit/assets/seg-b0-camvid.onnx",
    "densevit/assets/sr-x2.onnx",
    "densevit/assets/classes.json",
)
"""Files that both must hold, below `src` in the sdist."""

# imports every module of an installation without torch, and answers for an image
PROGRAM = """
import importlib, pkgutil, sys
import densevit

failed = []
for module in pkgutil.walk_packages(densevit.__path__, "densevit.", onerror=failed.append):
    if module.name == "densevit.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "onnx", "onnx_ir", "onnxscript"}:
            raise
assert "torch" not in sys.modules
street = densevit.load("seg-b0-camvid").predict("street.jpg").image
large = densevit.load("sr-x2", precision="fp32").predict(street[:64, :64])
assert large.image.shape == (128, 128, 3)
print(densevit.__file__)
"""


def main() -> None:
    """Builds, looks for paths of this machine, installs and runs both."""
    with tempfile.TemporaryDirectory(prefix="densevit-package-") as folder:
        work = Path(folder)
        # the wheel is built from the sdist, which so proves complete
        _run([sys.executable, "-m", "build", "--outdir", str(work / "dist"), str(ROOT)])
        for archive in sorted((work / "dist").iterdir()):
            names = _check_contents(archive)
            _check_installation(archive, work / f"{archive.name}.env")
            print(f"{archive.name}: {names} files, {archive.stat().st_size / 1e6:.1f} MB, installed and run")


def _check_contents(archive: Path) -> int:
    """Refuses missing files, and files with an absolute path of this machine."""
    home = Path.home()
    paths = [f"{path}/".encode() for path in (ROOT, home) if path != Path(path.anchor)]
    names = []
    for name, content in _read_members(archive):
        names.append(name)
        for path in paths:
            if path in content:
                sys.exit(f"{archive.name}: {name} holds the path {path.decode()} of this machine")
    for needed in NEEDED:
        if not any(name.endswith(needed) for name in names):
            sys.exit(f"{archive.name}: {needed} is missing")
    return len(names)


def _read_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                yield name, wheel.read(name)
        return
    with tarfile.open(archive) as sdist:
        for member in sdist:
            if (file := sdist.extractfile(member)) is not None:
                yield member.name, file.read()


def _check_installation(archive: Path, environment: Path) -> None:
    _run([sys.executable, "-m", "venv", str(environment)])
    python, densevit = (str(environment / "bin" / name) for name in ("python", "densevit"))
    quiet = ("--quiet", "--disable-pip-version-check")
    _run([python, "-m", "pip", "install", *quiet, "-c", str(ROOT / "constraints.txt"), str(archive)])
    # outside of the repository, whose sources must not be found
    folder = environment / "work"
    folder.mkdir()
    shutil.copyfile(IMAGE, folder / "street.jpg")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"DENSEVIT_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    _run([densevit, "--version"], cwd=folder, env=variables)
    _run([densevit, "models", "--json"], cwd=folder, env=variables)
    _run([densevit, "segment", "street.jpg", "--format", "overlay,labels,json"], cwd=folder, env=variables)
    if missing := [
        name for name in ("overlay.jpg", "labels.png") if not (folder / f"out/street.{name}").is_file()
    ]:
        sys.exit(f"{archive.name}: segment did not write {missing[0]}")
    place = _run([python, "-c", PROGRAM], cwd=folder, env=variables).strip()
    if not Path(place).resolve().is_relative_to(environment.resolve()):
        sys.exit(f"{archive.name}: {place} was imported instead of the installed package")


def _run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Runs a command and returns its stdout; where it fails, shows what it printed and exits."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    run(main)

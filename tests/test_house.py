"""The house as a test: its entries, no import cycle, its words, and tests that lie where the sources lie."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "densevit"

FOLDERS = frozenset(
    {"assets", "checkpoints", "cli", "core", "data", "evaluate", "export", "imaging", "labels", "masks", "metrics"}
    | {"models", "predict", "recipes", "runtimes", "tasks", "train", "variants", "weights"}
)
"""Those of design.md that exist; benchmark, figures, serve and integrations follow with their issues."""
FILES = frozenset({"__init__.py", "__main__.py", "zoo.py", "py.typed"})


def list_entries(root: Path) -> set[str]:
    """Names in a folder; a folder with nothing but bytecode was left by an earlier version."""
    return {
        path.name
        for path in root.iterdir()
        if path.is_file() or any(entry.name != "__pycache__" for entry in path.iterdir())
    } - {"__pycache__"}


def test_entries_of_the_package():
    assert list_entries(SOURCE) == FOLDERS | FILES


def test_two_folder_levels_at_most():
    deep = [path for path in SOURCE.rglob("*.py") if len(path.relative_to(SOURCE).parts) > 2]
    assert deep == []


# --- imports


def find_imports(path: Path, root: Path) -> set[str]:
    """Modules of the package that a module imports anywhere, those for type checkers excepted."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == root.name:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if is_module(whole, root) else node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == root.name)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def name_module(path: Path, root: Path) -> str:
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_cycle(root: Path) -> list[str]:
    """Names of modules that import each other in a circle, [] where there is none."""
    graph = {name_module(path, root): find_imports(path, root) for path in root.rglob("*.py")}
    # the package itself imports everything, on first use of a name
    graph[root.name] = set()
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done or name not in graph:
            return []
        for target in sorted(graph[name] - {name}):
            if cycle := search(target, [*path, name]):
                return cycle
        done.add(name)
        return []

    return next((cycle for name in sorted(graph) if (cycle := search(name, []))), [])


def test_no_import_cycle():
    assert find_cycle(SOURCE) == []


def test_a_cycle_is_found(tmp_path):
    root = tmp_path / "pack"
    root.mkdir()
    (root / "__init__.py").write_text("from pack.a import x\n")
    (root / "a.py").write_text("from pack import b\n")
    (root / "b.py").write_text("def f():\n    import pack.c\n")
    (root / "c.py").write_text("from pack.a import x\n")
    assert find_cycle(root) == ["pack.a", "pack.b", "pack.c", "pack.a"]
    (root / "c.py").write_text("if TYPE_CHECKING:\n    from pack.a import x\n")
    assert find_cycle(root) == []


# --- words

WORDS = re.compile("pic" + "ture|col" + "our|normal" + "is", re.IGNORECASE)
TEXTS = {".py", ".md", ".toml", ".yaml", ".txt", ".csv", ""}
OLD_NAMES = {"CHANGELOG.md"}
"""It says what the old names are called now. Names of classes (assets/*.json) are data."""


def find_words(root: Path, names: list[str]) -> list[str]:
    found = []
    for name in names:
        path = root / name
        if path.suffix not in TEXTS or path.name in OLD_NAMES or not path.is_file():
            continue
        if WORDS.search(name):
            found.append(name)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if WORDS.search(line):
                found.append(f"{name}:{number}: {line.strip()[:80]}")
    return found


def test_the_words_of_the_house():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of the project's files")
    assert find_words(ROOT, listed.stdout.splitlines()) == []


def test_a_word_is_found(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ncol" + "our = 2\n")
    (tmp_path / "b.md").write_text("Normal" + "ised images.\n")
    assert [line.split(":")[:2] for line in find_words(tmp_path, ["a.py", "b.md"])] == [
        ["a.py", "2"],
        ["b.md", "1"],
    ]


# --- tests mirror the sources

ROOT_TESTS = frozenset(
    {"test_documentation", "test_house", "test_layers", "test_optimized", "test_torch_free"}
    | {"test_seams", "test_torch_free_verbs", "test_typing", "test_variant_contract", "test_zoo"}
)
"""Tests of the whole."""
OTHER_FOLDERS = frozenset({"assets", "benchmarks", "helpers", "tools"})


def find_strays(tests: Path, source: Path) -> list[str]:
    """Tests without a source of their name: tests/a/test_b.py or test_b_more.py has src/a/b.py."""
    strays = []
    for path in sorted(tests.rglob("test_*.py")):
        folder, *rest = path.relative_to(tests).parts
        if not rest:
            if path.stem not in ROOT_TESTS:
                strays.append(path.name)
        elif folder not in OTHER_FOLDERS:
            modules = {module.stem for module in (source / folder).glob("*.py")} | {folder}
            words = path.stem.removeprefix("test_").split("_")
            names = {"_".join(words[: count + 1]) for count in range(len(words))}
            if not names & modules:
                strays.append(f"{folder}/{path.name}")
    return strays


def test_tests_mirror_the_sources():
    assert find_strays(ROOT / "tests", SOURCE) == []


def test_a_stray_is_found(tmp_path):
    (tmp_path / "tests" / "a").mkdir(parents=True)
    (tmp_path / "src" / "a").mkdir(parents=True)
    (tmp_path / "src" / "a" / "known.py").write_text("")
    for name in ("a/test_known.py", "a/test_known_more.py", "a/test_other.py", "test_other.py"):
        (tmp_path / "tests" / name).write_text("")
    assert find_strays(tmp_path / "tests", tmp_path / "src") == ["a/test_other.py", "test_other.py"]


def test_python_is_not_optimized_here():
    """Asserts are what these tests are made of."""
    assert sys.flags.optimize == 0

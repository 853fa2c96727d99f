"""The architecture as a test: who may import whom, which half needs torch, what must not be called at all.

Every import counts, also one inside a function; imports for type checkers alone (`if TYPE_CHECKING`) count
for the order of the layers, and not for what is loaded.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "densevit"

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(layer.split())
    for layer in (
        "core",
        "imaging",
        "labels masks metrics variants weights",
        "tasks models",
        "zoo",
        "checkpoints data",
        "runtimes",
        "export",
        "predict",
        "evaluate",
        "train benchmark",
        "recipes figures",
        "serve",
        "integrations",
        "cli",
        "__main__",
    )
)
"""From the lowest; a module or folder imports from strictly lower ones, and a folder from itself."""

SIBLINGS: frozenset[tuple[str, str]] = frozenset()
"""(importer, imported) within one layer: none so far."""

TORCH_HALF = ("models", "checkpoints", "export", "train", "recipes", "runtimes.eager", "core.torch_processes")
"""The only modules that may import torch."""

LAZY: dict[str, frozenset[str]] = {
    "predict": frozenset({"export", "checkpoints", "models", "runtimes.eager"}),
    # the manifest of a foreign checkpoint
    "runtimes": frozenset({"checkpoints"}),
    # an evaluation under torchrun has torch at hand, and its processes meet through it
    "cli": frozenset({"train", "recipes", "checkpoints", "core.torch_processes"}),
}
"""Outside the torch half: which parts of it may be imported, and only inside functions."""

OWNERS: dict[str, str] = {
    "openvino": "runtimes.openvino",
    "onnx": "export",
    "onnxscript": "export",
    "onnx_ir": "export",
    "onnxruntime": "runtimes.onnx",
    "huggingface_hub": "weights.hub",
    "pycocotools": "data.coco_tools",
    "torch.utils.tensorboard": "train.log",
    "tensorboard": "train.log",
    "cyclopts": "cli",
    "filelock": "train.folder",
}
"""The one module (or folder) that imports a package which may be missing or is heavy."""

REQUIRED = frozenset({"numpy", "PIL", "safetensors", "rich"})
"""Packages that any module may import; they come with the small half."""

PUBLIC_NAMES = frozenset({"__version__"})
"""What modules may take from the package itself."""


@dataclass(frozen=True)
class Import:
    """One imported module: who, what, and when it is loaded."""

    importer: str  # module below densevit, such as "models.build"
    imported: str  # absolute name
    line: int
    lazy: bool  # inside a function
    typing: bool  # for type checkers only

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"

    @property
    def own(self) -> str | None:
        """The imported module below densevit, None for other packages."""
        head, _, rest = self.imported.partition(".")
        return rest if head == "densevit" else None


def module_name(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def is_module(name: str, root: Path) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


class _Imports(ast.NodeVisitor):
    def __init__(self, importer: str, root: Path, package: bool) -> None:
        self.importer, self.root = importer, root
        self.folder = importer if package else importer.rpartition(".")[0]
        self.lazy = self.typing = False
        self.found: list[Import] = []

    def add(self, name: str, line: int) -> None:
        self.found.append(Import(self.importer, name, line, self.lazy, self.typing))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = ["densevit", *(part for part in self.folder.split(".") if part)]
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*parts, *([base] if base else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}".removeprefix("densevit.")
            below = base.split(".")[0] == "densevit" and is_module(inner, self.root)
            foreign = f"{base}.{alias.name}" in OWNERS
            if below or foreign:
                self.add(f"{base}.{alias.name}", node.lineno)
            elif base == "densevit":
                if alias.name not in PUBLIC_NAMES:
                    self.add("densevit", node.lineno)
            else:
                self.add(base, node.lineno)

    def visit_If(self, node: ast.If) -> None:
        before = self.typing
        test = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
        self.typing = before or test == "TYPE_CHECKING"
        for child in node.body:
            self.visit(child)
        self.typing = before
        for child in node.orelse:
            self.visit(child)

    def visit_function(self, node: ast.AST) -> None:
        before, self.lazy = self.lazy, True
        self.generic_visit(node)
        self.lazy = before

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function  # noqa: N815

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self.add(str(node.args[0].value), node.lineno)
        self.generic_visit(node)


@cache
def trees(root: Path) -> dict[str, tuple[Path, ast.Module]]:
    return {
        module_name(path, root): (path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for path in sorted(root.rglob("*.py"))
    }


def imports(root: Path = SOURCE) -> Iterator[Import]:
    """All imports but those of `densevit/__init__.py`, which names everything and loads it on use."""
    for name, (path, tree) in trees(root).items():
        if name:
            visitor = _Imports(name, root, path.name == "__init__.py")
            visitor.visit(tree)
            yield from visitor.found


def within(module: str, parts: frozenset[str] | tuple[str, ...]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts)


def layer(module: str) -> int:
    top = module.split(".")[0]
    for index, names in enumerate(LAYERS):
        if top in names:
            return index
    raise AssertionError(f"densevit.{module}: give {top} a layer in tests/test_layers.py")


def order_violations(root: Path = SOURCE) -> list[str]:
    wrong = []
    for entry in imports(root):
        if entry.own is None:
            continue
        if not entry.own:
            wrong.append(f"{entry}: import its modules instead")
            continue
        importer, imported = entry.importer.split(".")[0], entry.own.split(".")[0]
        if importer == imported or (importer, imported) in SIBLINGS:
            continue
        if not layer(imported) < layer(importer):
            wrong.append(str(entry))
    return wrong


def torch_violations(root: Path = SOURCE) -> list[str]:
    wrong = []
    for entry in imports(root):
        if within(entry.importer, TORCH_HALF):
            continue
        top = entry.imported.split(".")[0]
        if top in ("torch", "torchvision"):
            wrong.append(str(entry))
        if entry.own and within(entry.own, TORCH_HALF) and not entry.typing:
            allowed = LAZY.get(entry.importer.split(".")[0], frozenset())
            if not (entry.lazy and within(entry.own, allowed)):
                wrong.append(str(entry))
    return wrong


def owner_violations(root: Path = SOURCE) -> list[str]:
    wrong = []
    for entry in imports(root):
        for package, owner in OWNERS.items():
            if within(entry.imported, (package,)) and not within(entry.importer, (owner,)):
                wrong.append(str(entry))
    return wrong


def test_every_module_has_a_layer():
    for name in trees(SOURCE):
        if name:
            layer(name)


def test_no_name_is_in_two_layers():
    names = [name for names in LAYERS for name in names]
    assert len(names) == len(set(names))


def test_order():
    assert order_violations() == []


def test_torch_half():
    assert torch_violations() == []


def test_owners():
    assert owner_violations() == []


def test_no_other_packages():
    known = {*REQUIRED, *sys.stdlib_module_names, *(name.split(".")[0] for name in OWNERS), "densevit", "torch"}
    assert [str(entry) for entry in imports() if entry.imported.split(".")[0] not in known] == []


FORBIDDEN_CALLS = frozenset(
    {
        "eval",
        "exec",
        "compile",
        "os.system",
        "os.popen",
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "marshal.loads",
        "ov.convert_model",
        "openvino.convert_model",
        "torch.hub.load",
        "torch.jit.load",
    }
)
FORBIDDEN_IMPORTS = frozenset({"subprocess", "marshal", "shelve", "dill", "cloudpickle", "joblib"})


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(root: Path = SOURCE) -> list[str]:
    found = []
    for name, (_, tree) in trees(root).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None)
                taken = [f"{module}.{alias.name}" if module else alias.name for alias in node.names]
                bad = [t for t in taken if t.split(".")[0] in FORBIDDEN_IMPORTS or t in FORBIDDEN_CALLS]
                # a call by a bare name could not be told from others
                bad += [t for t in taken if t == "torch.load" or t.endswith(".convert_model")]
                found += [f"{name}:{node.lineno} imports {entry}" for entry in bad]
            if not isinstance(node, ast.Call):
                continue
            called = dotted(node.func)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if called in FORBIDDEN_CALLS or called.endswith(".convert_model"):
                found.append(f"{name}:{node.lineno} calls {called}")
            if "shell" in keywords and not called.endswith(".generate_completion"):
                found.append(f"{name}:{node.lineno} passes shell")
            if called == "torch.load":
                safe = keywords.get("weights_only")
                if not (isinstance(safe, ast.Constant) and safe.value is True):
                    found.append(f"{name}:{node.lineno} calls torch.load without weights_only=True")
    return found


def test_nothing_dangerous_is_called():
    assert dangers() == []


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("check", "file", "text"),
    [
        (order_violations, "imaging/a.py", "from densevit.tasks import base"),
        (order_violations, "imaging/a.py", "def f():\n    import densevit.cli"),
        (order_violations, "metrics.py", "from densevit import labels"),
        (order_violations, "metrics.py", "from . import labels"),
        (order_violations, "tasks/a.py", "from ..models.b import c"),
        (order_violations, "metrics.py", "import importlib\nimportlib.import_module('densevit.cli')"),
        (order_violations, "metrics.py", "import densevit"),
        (order_violations, "files.py", "from densevit import load"),
        (order_violations, "predict.py", "if TYPE_CHECKING:\n    from densevit.train.loop import fit"),
        (torch_violations, "imaging/a.py", "import torch.nn"),
        (torch_violations, "metrics.py", "def f():\n    from torch import Tensor"),
        (torch_violations, "runtimes/openvino.py", "import torch"),
        (torch_violations, "predict.py", "from densevit.models.build import create_model"),
        (torch_violations, "predict.py", "from densevit.runtimes import eager"),
        (torch_violations, "predict.py", "def f():\n    from densevit.train.loop import fit"),
        (torch_violations, "evaluate.py", "def f():\n    from densevit.export import write_graph"),
        (torch_violations, "cli/train.py", "from densevit.train.loop import fit"),
        (owner_violations, "predict.py", "import openvino as ov"),
        (owner_violations, "zoo.py", "def f():\n    from huggingface_hub import hf_hub_download"),
        (owner_violations, "weights/files.py", "import huggingface_hub"),
        (owner_violations, "train/loop.py", "from torch.utils.tensorboard import SummaryWriter"),
        (owner_violations, "train/loop.py", "from torch.utils import tensorboard"),
        (owner_violations, "predict.py", "import cyclopts"),
        (dangers, "metrics.py", "eval('1')"),
        (dangers, "metrics.py", "import pickle\npickle.load(f)"),
        (dangers, "metrics.py", "from pickle import loads"),
        (dangers, "metrics.py", "import os\nos.system('x')"),
        (dangers, "metrics.py", "import subprocess"),
        (dangers, "metrics.py", "f(shell=True)"),
        (dangers, "graph.py", "import openvino as ov\nov.convert_model(x)"),
        (dangers, "models/a.py", "torch.load(x)"),
        (dangers, "models/a.py", "torch.load(x, weights_only=False)"),
        (dangers, "models/a.py", "from torch import load"),
        (dangers, "__init__.py", "exec('1')"),
    ],
)
def test_the_rules_find_what_they_forbid(tmp_path, check, file, text):
    others = {"__init__.py": "", "labels.py": "", "models/b.py": "", "runtimes/eager.py": "", "tasks/base.py": ""}
    root = write(tmp_path, {**others, file: text})
    assert len(check(root)) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("imaging/a.py", "from densevit.imaging.b import c\nfrom densevit.core.files import d\nfrom . import b"),
        ("predict.py", "from densevit import imaging\nfrom densevit import __version__"),
        ("predict.py", "def f():\n    from densevit.export import g\n    from densevit.runtimes.eager import E"),
        ("predict.py", "if TYPE_CHECKING:\n    from densevit.models.build import DenseModel"),
        ("cli/train.py", "def f():\n    from densevit.train.loop import fit\n    import cyclopts"),
        ("runtimes/eager.py", "import torch\nfrom densevit.models.deploy import fold"),
        ("train/log.py", "def f():\n    from torch.utils.tensorboard import SummaryWriter"),
        ("models/a.py", "import torch\ntorch.load(x, weights_only=True)"),
        ("__init__.py", "from densevit.cli import main"),
    ],
)
def test_the_rules_allow_the_rest(tmp_path, file, text):
    others = {"imaging/b.py": "", "files.py": "", "graph.py": "", "runtimes/eager.py": ""}
    root = write(tmp_path, {**others, file: text})
    for check in (order_violations, torch_violations, owner_violations, dangers):
        assert check(root) == []

"""Each family of networks is a row; nothing branches on the type of a table."""

import ast
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from densevit.checkpoints.names import NAME_MAPS, NameMap, official_name, timm_name, to_own_names
from densevit.checkpoints.recognition import Recognition, recognize
from densevit.core.errors import UsageError
from densevit.models.build import BUILDERS, Network, build
from densevit.variants import (
    ARCHITECTURES,
    BACKBONES,
    FAMILIES,
    Cost,
    Family,
    count,
    tables,
    tiny_vit,
    with_ablations,
)

SOURCE = Path(__file__).resolve().parents[2] / "src" / "densevit"
MODULES = {module.__name__: module for module in (tables, tiny_vit)}
CLASSES = {
    name
    for module in MODULES.values()
    for name, value in vars(module).items()
    if getattr(value, "__module__", None) in MODULES and isinstance(value, type)
} | {"Architecture"}
# what variables and attributes that hold a table are called
TABLE_NAMES = {"table", "encoder", "backbone", "neck"}


def find_branches(source: str) -> list[int]:
    """Lines that branch on the class or the `kind` of a table, however the class is imported or spelled."""
    tree = ast.parse(source)
    imports = [name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names]
    classes = CLASSES | {name.asname for name in imports if name.name in CLASSES and name.asname}
    return sorted({node.lineno for node in ast.walk(tree) if _branches(node, classes)})


def _branches(node: ast.AST, classes: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name("isinstance" | "issubclass"), args=[_, kinds]):
            return _mentions(kinds, classes)
        case ast.Call(func=ast.Name("hasattr" | "getattr" | "type"), args=[asked, *_]):
            return _name(asked) in TABLE_NAMES
        case ast.Call(func=ast.Attribute(attr="register"), args=kinds) if kinds:
            return any(_mentions(kind, classes) for kind in kinds)
        case ast.Attribute(value=asked, attr="__class__"):
            return _name(asked) in TABLE_NAMES
        case ast.MatchClass(cls=kind):
            return _mentions(kind, classes)
        case ast.Match(subject=ast.Attribute(attr="kind")):
            return any(_mentions(case.pattern, FAMILIES.keys()) for case in node.cases)
        case ast.Dict(keys=keys):
            return any(_name(key) in classes for key in keys if key)
        case ast.Compare(left=left, comparators=others):
            parts = [left, *others]
            # `type(x) is T`, `x.__class__ == T`, `type(x).__name__ == "T"`, `kind is T`
            of_class = any(_mentions(part, classes) for part in parts)
            of_kind = any(_name(part) == "kind" for part in parts)
            return of_class or (of_kind and any(_mentions(part, FAMILIES.keys()) for part in parts))
        case ast.FunctionDef(decorator_list=marks, args=ast.arguments(args=[first, *_])) if first.annotation:
            return any(_mentions(mark, {"register"}) for mark in marks) and _mentions(first.annotation, classes)
    return False


def _name(node: ast.AST) -> str:
    """The last name of `name`, `module.name` or "name"."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
    return ""


def _mentions(node: ast.AST, names: Collection[str]) -> bool:
    return any(_name(part) in names for part in ast.walk(node))


def test_nothing_branches_on_the_type_of_a_table():
    assert {"SegmentationTable", "TinyViTTable", "Stage", "TinyViTStage"} <= CLASSES
    found = {str(path.relative_to(SOURCE)): find_branches(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(x, TinyViTTable)",
        "isinstance(x, (int, PromptableTable))",
        "isinstance(x, tables.SegmentationTable)",
        "isinstance(x, TinyViTStage)",
        "from densevit.variants import SegmentationTable as S\nisinstance(x, S)",
        "issubclass(x, Architecture)",
        "type(x) is SegmentationTable",
        "type(x).__name__ == 'SegmentationTable'",
        "kind = type(table)",
        "x.__class__ == SegmentationTable",
        "table.encoder.__class__",
        "{SegmentationTable: f}[type(x)](x)",
        "match x:\n    case SegmentationTable():\n        pass",
        "match x:\n    case tables.SegmentationTable():\n        pass",
        "match x.kind:\n    case 'segmentation':\n        pass",
        "x.kind == 'segmentation'",
        "x.kind in ('efficientvit_sam', 'tiny_vit_sam')",
        "hasattr(table, 'backbone')",
        "getattr(x.encoder, 'neck', None)",
        "count.register(SegmentationTable, count_segmentation)",
        "@count.register\ndef _(table: SegmentationTable):\n    pass",
    ],
)
def test_a_branch_is_found(source):
    assert find_branches(source)


@pytest.mark.parametrize(
    "source",
    [
        "def count(table: SegmentationTable) -> int: ...",
        "SegmentationTable('x', backbone, head, 3)",
        "FAMILIES[table.kind].count(table)",
        "size.kind == 'exact'",
        "isinstance(x, str)",
        "getattr(torch, name)",
    ],
)
def test_other_code_is_no_branch(source):
    assert not find_branches(source)


def test_every_family_has_a_row_everywhere():
    kinds = {table.kind for table in ARCHITECTURES.values()}
    assert kinds == BUILDERS.keys() == NAME_MAPS.keys() == FAMILIES.keys() - {"backbone"}
    assert {table.kind for table in BACKBONES.values()} == {"backbone"}


def test_a_family_is_added_by_its_rows(monkeypatch):
    @dataclass(frozen=True)
    class ToyTable:
        name: str
        width: int
        kind: ClassVar[str] = "toy"

    class Toy(Network):
        def __init__(self, width: int, channels: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(channels, width, 1)

    family = Family(
        lambda table, size, channels, classes: Cost(table.width * (channels + 1), 0), None, "conv.weight"
    )
    monkeypatch.setitem(FAMILIES, "toy", family)
    monkeypatch.setitem(BUILDERS, "toy", lambda table, classes, channels: Toy(table.width, channels))
    monkeypatch.setitem(NAME_MAPS, "toy", NameMap(lambda name, table: f"toy.{name}"))
    table = ToyTable("toy", 5)
    network = build(table, in_channels=4)
    assert sum(weight.numel() for weight in network.parameters()) == count(table, (8, 8), in_channels=4).params
    assert official_name("conv.weight", table) == "toy.conv.weight"
    assert timm_name("conv.weight", table) == "conv.weight"
    with pytest.raises(UsageError, match="toy is not an EfficientViT"):
        with_ablations(table, multi_scale=False)
    with pytest.raises(ValueError, match="toy has no classes"):
        build(table, classes=2)

    monkeypatch.setitem(ARCHITECTURES, "toy", table)
    state = network.state_dict()
    # ".op_list." is how a file is told to be an official one
    monkeypatch.setitem(NAME_MAPS, "toy", NameMap(lambda name, table: f"toy.op_list.{name}", unused=("toy.old.",)))
    official = {official_name(name, table): tensor for name, tensor in state.items()}
    official["toy.old.weight"] = torch.zeros(1)
    assert to_own_names(official, state, table) == state
    assert recognize(official) == Recognition("toy", classes=0, in_channels=4)

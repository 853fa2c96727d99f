"""Each family of networks is a row; nothing branches on the type of a table."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from torch import nn

from densevit.checkpoints.names import NAME_MAPS, NameMap, official_name
from densevit.models.build import BUILDERS, Network, build
from densevit.variants import ARCHITECTURES, BACKBONES, FAMILIES, Cost, Family, count, tables, tiny_vit

SOURCE = Path(__file__).resolve().parents[2] / "src" / "densevit"
TABLES = {name for module in (tables, tiny_vit) for name in vars(module) if name.endswith("Table")}


def find_branches(source: str) -> list[int]:
    """Lines that ask for the class of a table: isinstance, issubclass, type(), __class__, class patterns."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
        asks = called in ("isinstance", "issubclass") or isinstance(node, ast.MatchClass)
        compares = isinstance(node, ast.Compare) and any(
            (isinstance(part, ast.Attribute) and part.attr == "__class__")
            or (isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "type")
            for part in ast.walk(node)
        )
        if (asks or compares) and names & TABLES:
            found.append(node.lineno)
    return found


def test_nothing_branches_on_the_type_of_a_table():
    assert len(TABLES) >= 9
    found = {str(path.relative_to(SOURCE)): find_branches(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(x, TinyViTTable)",
        "isinstance(x, (int, PromptableTable))",
        "type(x) is SegmentationTable",
        "x.__class__ == SegmentationTable",
        "match x:\n    case SegmentationTable():\n        pass",
    ],
)
def test_a_branch_is_found(source):
    assert find_branches(source)


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
    with pytest.raises(ValueError, match="toy has no classes"):
        build(table, classes=2)

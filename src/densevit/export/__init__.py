"""A model becomes a file, compared with it after writing."""

from densevit.export.program import ExportError, Program, trace
from densevit.export.table import FORMATS, export_program, write_graph
from densevit.export.tolerances import TOLERANCES, find_tolerance, find_verified
from densevit.export.verify import Report, verify

__all__ = [
    "FORMATS",
    "TOLERANCES",
    "ExportError",
    "Program",
    "Report",
    "export_program",
    "find_tolerance",
    "find_verified",
    "trace",
    "verify",
    "write_graph",
]

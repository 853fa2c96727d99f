"""A model becomes a graph file, compared with it after writing."""

from densevit.export.onnx import TOLERANCE, GraphError, write_graph

__all__ = ["TOLERANCE", "GraphError", "write_graph"]

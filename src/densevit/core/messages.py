"""Parts of messages: the errors of other libraries in one line, and sizes."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an error's text that holds letters, or the error's type if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    # a bare number is a key or a code, which explains nothing without the type
    return next((line for line in lines if any(map(str.isalpha, line))), type(error).__name__)


def last_line(error: BaseException) -> str:
    """The last line that is not empty: some libraries put places in their sources first and the cause last."""
    lines = (line.strip() for line in reversed(str(error).splitlines()))
    return next((line for line in lines if line), type(error).__name__)


def one_line(error: object) -> str:
    """The whole text with line breaks as spaces."""
    return " ".join(str(error).split()) or type(error).__name__


def describe_size(size: tuple[int, int]) -> str:
    """A (height, width) in pixels as every message writes it: width first, "751 x 563 px"."""
    height, width = size
    return f"{width} x {height} px"

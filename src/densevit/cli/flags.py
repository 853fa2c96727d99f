"""From a function to a verb: its parameters, and the fields of dataclasses among them, become flags.

A parameter is `Annotated[type, "help"]`, with a `Flag` where the name alone does not say all. The one file that
knows the command line library, cyclopts, together with `cli.main`.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import App, Parameter, Token

STDIN = "\0stdin"
"""Stands for the source "-", which cyclopts would take for an option."""


@dataclass(frozen=True)
class Flag:
    """What a flag needs beyond its type and help.

    Attributes:
        names: instead of `--name`; a single letter may follow.
        metavar: what the help shows for the value.
        raw: whether values may begin with a hyphen: the verb reads its flags itself.
    """

    names: tuple[str, ...] = ()
    metavar: str | None = None
    raw: bool = False


def make_verb(function: Callable[..., None]) -> Callable[..., None]:
    """The function with parameters as cyclopts reads them."""

    @wraps(function)
    def verb(*values: Any, **flags: Any) -> None:
        function(*map(_restore, values), **{name: _restore(value) for name, value in flags.items()})

    hints = get_type_hints(function, include_extras=True)
    parameters = [
        parameter.replace(annotation=_convert(hints[name], parameter.default))
        for name, parameter in inspect.signature(function).parameters.items()
    ]
    del verb.__wrapped__
    verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    verb.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return verb


def flags_of(options: Any) -> type[Any]:
    """A subclass of a dataclass of options whose fields are flags, with the values of `options` as defaults."""
    kind = type(options)
    hints = get_type_hints(kind, include_extras=True)
    namespace: dict[str, Any] = {"__annotations__": {}, "__module__": __name__, "__doc__": None}
    for field in dataclasses.fields(kind):
        default = getattr(options, field.name)
        hint = hints[field.name]
        if get_origin(hint) is not Annotated:
            # a class that changes a default need not repeat the help
            hint = Annotated[hint, _find_help(kind, field.name)]
        namespace["__annotations__"][field.name] = _convert(hint, default)
        # a default that can be changed belongs to one instance
        shared = getattr(type(default), "__hash__", None) is not None
        namespace[field.name] = default if shared else dataclasses.field(default_factory=partial(copy, default))
    made: type[Any] = dataclass(frozen=True)(type(kind.__name__, (kind, _Flags), namespace))
    return made


def _find_help(kind: type[Any], name: str) -> str:
    for base in kind.__mro__[1:]:
        hint: Any = get_type_hints(base, include_extras=True).get(name)
        if get_origin(hint) is Annotated:
            return next((extra for extra in hint.__metadata__ if isinstance(extra, str)), "")
    return ""


def run_verb(
    name: str, function: Callable[..., None], tokens: Sequence[str], *, help_text: str, example: str
) -> None:
    """Reads the flags of a function that was made on the way, and calls it."""
    app = App(
        name=name,
        help=help_text,
        help_epilogue=f"EXAMPLE\n  {example}",
        help_format="plaintext",
        version_flags=(),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.default(make_verb(function))
    app(list(tokens), exit_on_error=False, print_error=False)


def _restore(value: Any) -> Any:
    """What the function expects: options of the class that it names, and "-" for the standard input."""
    if isinstance(value, list):
        return [_restore(entry) for entry in value]
    if isinstance(value, _Flags):
        (kind,) = (base for base in type(value).__bases__ if base is not _Flags)
        return kind(**{field.name: _restore(getattr(value, field.name)) for field in dataclasses.fields(kind)})
    return "-" if value == STDIN else value


class _Flags:
    """Marks the classes that `flags_of` makes."""


def _convert(hint: Any, default: Any) -> Any:
    """`Annotated[type, "help", Flag(...)]` -> the same for cyclopts."""
    base, *extras = (hint.__origin__, *hint.__metadata__) if get_origin(hint) is Annotated else (hint,)
    if dataclasses.is_dataclass(base) and isinstance(base, type):
        return Annotated[flags_of(default), Parameter(name="*")]
    text = next((extra for extra in extras if isinstance(extra, str)), None)
    flag = next((extra for extra in extras if isinstance(extra, Flag)), Flag())
    negative: Any = None if base is bool and default is True else ()
    parameter = Parameter(
        name=flag.names or None,
        help=text,
        negative=negative,
        negative_iterable=(),
        # as everywhere: the last one counts
        allow_repeating=True,
        metavar=flag.metavar,
        allow_leading_hyphen=flag.raw,
        **_choose_reader(base),
    )
    return Annotated[base, parameter]


def _choose_reader(base: Any) -> dict[str, Any]:
    """How a value is read from text, where cyclopts's own way would surprise."""
    members = [member for member in _members(base) if member is not type(None)]
    if members == [list[int]]:
        return {"converter": _read_whole_numbers}
    if members == [int]:
        return {"converter": _read_whole_number, "n_tokens": 1}
    if len(members) == 1 and get_origin(members[0]) is tuple:
        return {"converter": _make_tuple_reader(get_args(members[0])), "n_tokens": 1, "accepts_keys": False}
    if str in members and len(members) > 1:
        # of several types that a text may be, the text is the safe one: "1e3" is a name
        return {"converter": _read_text, "n_tokens": 1}
    return {}


def _members(base: Any) -> Sequence[Any]:
    return get_args(base) if get_origin(base) in (Union, types.UnionType) else (base,)


def _read_text(_: Any, tokens: Sequence[Token]) -> str:
    return tokens[0].value


def _read_whole_numbers(_: Any, tokens: Sequence[Token]) -> list[int]:
    return [_read_whole_number(_, [token]) for token in tokens]


def _read_whole_number(_: Any, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _make_tuple_reader(kinds: tuple[Any, ...]) -> Callable[[Any, Sequence[Token]], tuple[Any, ...]]:
    """Reads "384,512" or "384x512"."""

    def read(_: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        text = tokens[0].value
        parts = [part.strip() for part in text.split("," if "," in text else "x")]
        wanted = (kinds[0],) * len(parts) if len(kinds) == 2 and kinds[1] is Ellipsis else kinds
        if len(parts) != len(wanted):
            raise ValueError(f"takes {len(wanted)} values separated by commas, got {text!r}")
        return tuple(_read_part(kind, part) for kind, part in zip(wanted, parts, strict=True))

    return read


def _read_part(kind: Any, text: str) -> Any:
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(map(str, get_args(kind)))}, got {text!r}")
        return text
    try:
        return kind(text)
    except ValueError:
        expected = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise ValueError(f"{text!r} is not {expected}") from None

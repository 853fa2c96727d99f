"""What tests of several verbs expect of them."""

import json


def describe(densevit, model: object) -> dict:
    """The report of `densevit info MODEL --json`."""
    done = densevit("info", model, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def check_refusal(done, *parts: str, code: int = 1) -> str:
    """A refusal is one line with all these parts, an exit code, and nothing on stdout."""
    assert (done.code, done.out) == (code, "")
    (line,) = done.errors
    for part in parts:
        assert part in line
    return line

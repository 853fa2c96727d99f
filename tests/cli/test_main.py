"""What happens before the verb, and how errors end: one line, or the traceback of a bug."""

import errno
import os
import subprocess
import sys

import pytest

import densevit as package
from densevit import imaging
from densevit.core.errors import DensevitError, InputError, UnavailableError, UsageError
from helpers import tiny

VERBS = ("segment", "classify", "upscale", "masks", "models", "info", "convert", "eval", "train")


def test_version_and_help(densevit):
    assert densevit("--version").out == f"densevit {package.__version__}\n"
    done = densevit("--help")
    assert done.code == 0
    assert all(verb in done.out for verb in VERBS)
    assert densevit("paint").code == 2
    assert densevit("--paint").code == 2


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(densevit, verb):
    done = densevit(verb, "--help")
    assert done.code == 0
    *_, title, example = done.out.rstrip().splitlines()
    assert title.strip() == "EXAMPLE"
    assert example.split()[:2] == ["densevit", verb]


@pytest.fixture
def fail(monkeypatch):
    """Makes `densevit models` raise an error."""

    def install(error: BaseException) -> None:
        def raise_error(*arguments, **options):
            raise error

        monkeypatch.setattr("densevit.cli.models.describe_entry", raise_error)

    return install


def test_an_interruption_is_no_traceback(densevit, fail):
    fail(KeyboardInterrupt())
    assert densevit("models").code == 130


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("what\nhappened"), 2),
        (InputError("what\nhappened"), 1),
        (UnavailableError("what\nhappened"), 1),
        (DensevitError("what\nhappened"), 1),
        (MemoryError("what\nhappened"), 1),
        (OSError(errno.EACCES, "what happened", "file.txt"), 1),
        (OSError(errno.ENOSPC, "what happened"), 1),
    ],
)
def test_what_the_user_can_mend_is_one_line(densevit, fail, error, code):
    fail(error)
    done = densevit("models")
    assert (done.code, done.out) == (code, "")
    (line,) = done.errors
    assert "what happened" in line


def test_memory_that_ran_out_without_a_message_is_still_named(densevit, fail):
    fail(MemoryError())
    assert densevit("models").errors == ["error: MemoryError"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("operands could not be broadcast together"),
        TypeError("what"),
        IndexError("what"),
        KeyError("what"),
        AssertionError("what"),
        RuntimeError("what"),
        ZeroDivisionError("what"),
        OSError("what"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_keeps_its_traceback(densevit, fail, error):
    fail(error)
    with pytest.raises(type(error)) as raised:
        densevit("models")
    assert raised.value is error
    assert "raise_error" in {entry.name for entry in raised.traceback}


@pytest.mark.parametrize("error", [ValueError("what"), TypeError("what"), IndexError("what")])
def test_a_bug_behind_an_image_is_not_the_images_fault(densevit, monkeypatch, tmp_path, error):
    def raise_error(*arguments, **options):
        raise error

    imaging.save(tiny.image(40, 60), tmp_path / "x.png")
    monkeypatch.setattr("densevit.tasks.segmentation.SegmentationResult.save", raise_error)
    with pytest.raises(type(error)):
        densevit("segment", "x.png", "--model", tiny.graph())


def test_a_bug_is_seen_as_a_traceback_by_the_user(tmp_path):
    code = (
        "import sys, densevit.cli.models as models, densevit.cli as cli\n"
        "models.describe_entry = lambda entry: [][1]\n"
        "sys.argv = ['densevit', 'models']\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=tiny.environment()
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IndexError" in done.stderr

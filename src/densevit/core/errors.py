"""The errors that users see: one line that says what is wrong and what to do about it.

Callers may catch `DensevitError`, or `ValueError`, which all of them are too. Any other exception that leaves
densevit is a bug and keeps its traceback.
"""

from __future__ import annotations


class DensevitError(ValueError):
    """Something that the user can fix; its text is one line."""


class UsageError(DensevitError):
    """A wrong option or call: the command line ends with exit code 2, the server answers 400."""


class InputError(DensevitError):
    """This image, file or checkpoint cannot be used: exit code 1, status 422. Streams go on after it."""


class UnavailableError(DensevitError):
    """A package, a device, the network, memory or disk space is missing here: exit code 1, status 503."""

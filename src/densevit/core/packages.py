"""Optional packages: which ones a torch-free install lacks, and how to install them."""

from __future__ import annotations

import importlib.util

from densevit.core.errors import UnavailableError


def require_packages(purpose: str, *packages: str, extra: str) -> None:
    """Raises an error if packages are missing.

    Args:
        purpose: what needs them, for the message.
        packages: their import names.
        extra: the extra of densevit that installs them.

    Raises:
        UnavailableError: at least one is not installed; names the missing ones and the command that installs them.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UnavailableError(f"{purpose} needs {', '.join(missing)}: pip install 'densevit[{extra}]'")


def require_torch(purpose: str, *packages: str, extra: str = "torch") -> None:
    """As `require_packages`, for PyTorch and the packages that come with it."""
    require_packages(purpose, "torch", *packages, extra=extra)

"""Limits on untrusted input that several layers check."""

from __future__ import annotations

DEFAULT_MAX_PIXELS = 178_000_000
"""Height times width of the largest image or mask that is read unless the caller allows more.

Just below the 178,956,970 pixels above which Pillow refuses WebP files in any case.
"""

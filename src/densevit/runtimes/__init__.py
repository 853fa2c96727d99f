"""Runtimes: each file is the sole importer of its library."""

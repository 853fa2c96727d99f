"""Weights files of any origin: read without running code, recognized, renamed, converted."""

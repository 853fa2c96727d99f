"""Trainings by name: each module's docstring gives command, hardware, hours and expected score."""

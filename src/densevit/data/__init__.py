"""Data sets: pictures with their true answers."""

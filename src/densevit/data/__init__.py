"""Data sets: images with their true answers."""

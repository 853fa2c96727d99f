"""Masks for prompts, and masks of everything in a picture."""

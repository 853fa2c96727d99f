"""Tasks: preprocessing, postprocessing and the typed result, one file per task."""

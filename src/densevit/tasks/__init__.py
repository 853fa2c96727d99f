"""What is asked of an image: preprocessing, postprocessing and the typed result, one file per task."""

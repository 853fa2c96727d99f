"""What is asked of a picture: preprocessing, postprocessing and the typed result, one file per task."""

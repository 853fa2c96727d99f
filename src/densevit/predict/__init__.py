"""Models in use: loading, predicting, streaming, promptable masks, segment everything."""

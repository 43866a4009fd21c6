"""One source of trials: any Keras factory."""

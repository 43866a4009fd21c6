"""What can be said of a Keras model before training, and of what it shows."""

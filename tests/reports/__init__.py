"""Public reports of models that do not train, rebuilt on data of our own."""

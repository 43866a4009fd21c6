"""The study of the question behind this project: `python -m answer`, in a checkout only."""

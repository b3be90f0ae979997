"""Measurements of `grail bench`: each gives figures, the references measured in the same run, and the ratios."""

"""Writers of metrics, and the run console."""

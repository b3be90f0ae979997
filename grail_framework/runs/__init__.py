"""Run directories, manifests, checkpoints and the life of a run."""

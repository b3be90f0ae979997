"""`grail checkpoints`: one thin file per command."""

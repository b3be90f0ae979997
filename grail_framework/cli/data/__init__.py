"""`grail data`: one thin file per command."""

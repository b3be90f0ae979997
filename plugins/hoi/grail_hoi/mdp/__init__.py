"""Terms of hand-object interaction."""

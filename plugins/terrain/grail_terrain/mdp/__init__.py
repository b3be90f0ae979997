"""Terms of terrain tracking. Empty, so that one term's imports are not another's."""

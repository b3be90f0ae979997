"""The tracking environment: reference command, terms, actions, resets."""

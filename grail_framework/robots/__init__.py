"""Robots: the table that describes one, and what is built from it."""

"""Helpers for the authors of plugins: fixtures, fakes and contract checks."""

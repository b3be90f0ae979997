"""Engines: one protocol, several simulators behind it."""

"""Demonstration library of the plugin's task: terrains, and walking motions over them made by inverse kinematics."""

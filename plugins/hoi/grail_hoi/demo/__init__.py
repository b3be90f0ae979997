"""Demonstration libraries of the plugin's tasks: motions made by inverse kinematics, grasps tried out in a simulator."""

"""Generic terms of the MDP, in pure torch."""

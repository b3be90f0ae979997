"""The engine on Isaac Lab: thousands of environments on one GPU, without Isaac Sim."""

"""PPO, its storage, networks and runner."""

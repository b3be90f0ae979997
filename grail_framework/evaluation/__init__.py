"""What a policy is worth: metrics and evaluation rollouts."""

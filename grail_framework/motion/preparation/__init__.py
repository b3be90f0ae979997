"""Making motion libraries ready for training: hand actions, contact points, basis point sets, other formats."""

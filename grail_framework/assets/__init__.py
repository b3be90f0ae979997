"""Object assets: reading USD and making it fit for simulation."""

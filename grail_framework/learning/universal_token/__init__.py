"""The universal-token network: encoders of motion references, a quantised latent, decoders to actions and back to the reference."""

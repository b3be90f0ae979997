"""The terrain plugin: tracking on terrain. Empty, so that importing the plugin stays light."""

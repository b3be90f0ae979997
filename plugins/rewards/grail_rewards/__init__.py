"""The rewards plugin: reward terms shared by tasks. Empty, so that importing the plugin stays light."""

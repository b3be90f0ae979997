"""The HOI plugin: tasks of hand-object interaction. Empty, so that importing the plugin stays light."""

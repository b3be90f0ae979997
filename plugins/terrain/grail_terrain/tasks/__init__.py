"""Tasks of the plugin, one file each: plain values, readable top to bottom."""

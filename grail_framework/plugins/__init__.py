"""The plugin layer: hook specs, discovery, records and the manager. The only place that knows pluggy."""

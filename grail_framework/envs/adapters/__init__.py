"""The environment in the shapes other libraries know; each module needs the library it adapts to."""

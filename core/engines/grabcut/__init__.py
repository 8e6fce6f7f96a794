"""The built-in engine, which needs no weights."""

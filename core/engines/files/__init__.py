"""Weights on the disk: what is published, downloads, telling families apart, loading."""

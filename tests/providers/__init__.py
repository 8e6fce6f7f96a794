"""Tests of the remote providers, against loopback servers that keep to their contracts."""

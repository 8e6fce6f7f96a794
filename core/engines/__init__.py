"""Engines: local models that turn prompts into masks, behind one protocol (see base.py)."""

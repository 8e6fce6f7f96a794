"""SAM 3 and SAM 3.1: clicks and words."""

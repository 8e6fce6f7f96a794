"""SAM and HQ-SAM."""

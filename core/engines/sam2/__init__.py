"""SAM 2, SAM 2.1 and EdgeTAM."""

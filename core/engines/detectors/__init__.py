"""What understands words: Grounding DINO, OWLv2, CLIPSeg, Florence-2; finds boxes or areas."""

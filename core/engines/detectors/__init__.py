"""What understands words: Grounding DINO, OWLv2, CLIPSeg; finds boxes or rough areas."""

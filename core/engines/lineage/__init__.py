"""What SAM, SAM 2 and SAM 3 share: prompts to logits, layouts of keys, adopting weights."""

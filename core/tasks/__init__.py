"""A model at work. The only room that joins engines with prompts and results."""

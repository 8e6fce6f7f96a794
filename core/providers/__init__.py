"""Remote providers: other people's models behind the same prompts and results."""

"""What was found, and everything that is done to it. Never imports engines or providers."""

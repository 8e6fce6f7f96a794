"""The pixels of one mask: refining, cutting, measuring. Never imports engines or providers."""

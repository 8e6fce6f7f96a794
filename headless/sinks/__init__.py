"""Where results go: files beside each other, videos of clips, and one table of all objects."""

"""What finds the alpha of hair and fur in an uncertain band: ViTMatte."""

"""What a person looks at: overlays, outlines, label maps, cut-outs, thumbnails, agreement."""

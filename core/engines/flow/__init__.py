"""Following objects by optical flow, with any engine that decodes masks."""

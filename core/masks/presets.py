"""Named settings of Mask Refine for usual ends, in pixels of an image of about a megapixel."""

from __future__ import annotations

from .refine import Edge, Refinement

# What the choice is called where the settings are nobody's but the user's.
AS_SET = "as set"
PRESETS: dict[str, Refinement] = {
    # No holes, no crumbs, and a rim so far inside that none of the background is cut out with it.
    "clean cut-out": Refinement(
        fill_holes=-1, remove_islands=200, expand=-1.0, smooth=4.0, feather=2.0
    ),
    # A rounded contour whose wide ramp lies mostly inside.
    "soft portrait": Refinement(
        fill_holes=-1, remove_islands=1000, expand=-3.0, smooth=8.0, feather=12.0
    ),
    # Nothing is rounded off or moved, and gaps between strands stay, before the image decides.
    "hair and fur": Refinement(fill_holes=100, remove_islands=200, edge=Edge.GUIDED),
    # All of the object with its rim, and around it a ramp in which old and new may meet.
    "inpainting": Refinement(
        threshold=0.5, fill_holes=-1, remove_islands=200, expand=16.0, smooth=8.0, feather=16.0
    ),
}

"""Loopback servers of all providers: `python -m tests.support.servers` runs them by hand.

They are written from the vendors' documents and official clients, not from the adapters: they take
what those clients send, refuse what the real services would refuse, and segment for real (see
`vision.py`). `faults.py` lists what can go wrong.
"""

from __future__ import annotations

from .airefinery import AIRefineryServer
from .base import KEY, ProviderServer, serving
from .custom import CustomServer
from .fal import FalServer
from .imagineo import ImagineoServer
from .moark import MoarkServer
from .segmind import SegmindServer

SERVERS: dict[str, type[ProviderServer]] = {
    "imagineo": ImagineoServer,
    "airefinery": AIRefineryServer,
    "segmind": SegmindServer,
    "moark": MoarkServer,
    "fal": FalServer,
    "custom": CustomServer,
}

__all__ = ["KEY", "SERVERS", "ProviderServer", "serving"]

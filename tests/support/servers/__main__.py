"""Runs all loopback servers and prints what to set so that ComfyUI uses them.

python -m tests.support.servers [--port 9100] [--delay 0.5]
"""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack

from . import KEY, SERVERS, serving
from .base import ProviderServer

KEY_VARIABLES = {
    "imagineo": "IMAGINEOAI_API_KEY",
    "airefinery": "AIR_API_KEY",
    "segmind": "SEGMIND_API_KEY",
    "moark": "GITEE_AI_API_KEY",
    "fal": "FAL_KEY",
}


def environment(servers: dict[str, ProviderServer]) -> dict[str, str]:
    """The variables that send each provider's calls to its loopback server."""
    urls = {f"SEGMENT_ANYWHERE_{key.upper()}_URL": each.url for key, each in servers.items()}
    return urls | {variable: KEY for variable in KEY_VARIABLES.values()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9100, help="of the first server")
    parser.add_argument("--delay", type=float, default=0.5, help="seconds for each answer")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        servers = {
            key: stack.enter_context(serving(cls(delay=arguments.delay), arguments.port + offset))
            for offset, (key, cls) in enumerate(SERVERS.items())
        }
        for name, value in environment(servers).items():
            print(f"export {name}={value}", flush=True)
        print("# Serving until Ctrl+C. Start ComfyUI with the lines above in its environment.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

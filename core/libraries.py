"""What to do about a library that is missing or does not fit: one command, for one Python."""

from __future__ import annotations

import sys


def install_command(*packages: str, options: str = "") -> str:
    """The command that installs packages for the Python that runs this.

    packages: as pip takes them, such as `transformers~=4.57`. options: pip's, before them.
    """
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    # A shell would take <, > and ~ for its own.
    quoted = [each if each.replace("-", "").isalnum() else f'"{each}"' for each in packages]
    return " ".join([python, "-m pip install", *options.split(), *quoted])


def install_sentence(*packages: str, options: str = "") -> str:
    """Tells the user to run `install_command` and what to do then."""
    return f"Run `{install_command(*packages, options=options)}` and restart ComfyUI."

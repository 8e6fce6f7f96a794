"""Whether installing the pack leaves everything alone that a ComfyUI has, by pip's dry runs.

    python -m tools.install_check ~/ComfyUI/requirements.txt
    python -m tools.install_check ~/ComfyUI/requirements.txt --with "numpy<2" opencv-python

What pip would install for that file stands in an empty environment as installed: its metadata, all
that pip looks at, without the gigabytes of wheels. Then pip says what it would do for our own
requirements.txt. Exit status 1 if it would replace anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import ROOT

_SHOWN = ("numpy", "torch", "transformers", "huggingface-hub")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("requirements", type=Path, help="a requirements.txt of ComfyUI")
    parser.add_argument("--with", dest="beside", nargs="*", default=[], help="what else is there")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        host = _dry_run(python, ["-r", str(args.requirements), *args.beside])
        _pretend(python, host)
        ours = _dry_run(python, ["-r", str(ROOT / "requirements.txt")])
    before, after = ({_name(each): each["version"] for each in found} for found in (host, ours))
    shown = [f"{name} {before[name]}" for name in before if name in _SHOWN or "opencv" in name]
    print(f"there: {len(before)} packages, such as {', '.join(shown)}")
    print(f"added: {', '.join(sorted(after.keys() - before.keys())) or 'nothing'}")
    replaced = [f"{name} {before[name]} -> {after[name]}" for name in after if name in before]
    print(f"replaced: {', '.join(replaced) or 'nothing'}")
    return 1 if replaced else 0


def _dry_run(python: Path, arguments: list[str]) -> list[dict[str, Any]]:
    """The metadata of what pip would install."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True)
    return [each["metadata"] for each in json.loads(done.stdout)["install"]]


def _pretend(python: Path, packages: list[dict[str, Any]]) -> None:
    """Let pip find packages installed."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    for each in packages:
        folder = f"{_name(each).replace('-', '_')}-{each['version']}.dist-info"
        info = Path(done.stdout.strip()) / folder
        info.mkdir()
        needs = "".join(f"Requires-Dist: {need}\n" for need in each.get("requires_dist", ()))
        head = f"Metadata-Version: 2.1\nName: {each['name']}\nVersion: {each['version']}\n"
        (info / "METADATA").write_text(head + needs, encoding="utf-8")
        (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
        (info / "RECORD").write_text("", encoding="utf-8")


def _name(package: dict[str, Any]) -> str:
    return package["name"].lower().replace("_", "-")


if __name__ == "__main__":
    sys.exit(main())

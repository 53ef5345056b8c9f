"""Which environment images are on this host, and how is one built?

An image is a read-only folder `<name>-<hash>` that every sandbox may share: the host's `/usr` plus
one virtual environment of the host's own Python. The hash is of its definition (a folder in
`environments/`) and of that Python, so what is found is what was defined.
"""

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

ROOT_FOLDER = Path("/opt/carrel/environments")
OWN_FOLDER = Path("~/.local/share/carrel/environments")
PYTHON = "/usr/bin/python3"
"""The host's own: a sandbox sees `/usr`, and nothing of the environment Carrel runs in."""

_PACKAGED = Path(__file__).parent / "definitions"
_CHECKOUT = Path(__file__).parents[3] / "environments"
_PLACEHOLDER = "@IMAGE@"
_HASH = "[0-9a-f]{12}"


def default_folder() -> Path:
    """Return where images lie for this user."""
    return ROOT_FOLDER if os.geteuid() == 0 else OWN_FOLDER.expanduser()


def definitions_folder() -> Path:
    """Return where the definitions shipped with Carrel lie."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def find(name: str, folder: Path | None = None, *, definitions: Path | None = None) -> Path | None:
    """Return the image that the definition in force describes; None if it is not built.

    An older build is never taken for it: it may lack what was closed since. An image without a
    definition here is a site's own, and its latest build counts. An ordinary user's Carrel also
    finds what root has built for everybody.
    """
    definition = (definitions or definitions_folder()) / name
    wanted = _digest(definition) if definition.is_dir() else _HASH
    named = re.compile(f"{re.escape(name)}-{wanted}")
    for place in [folder] if folder else [default_folder(), ROOT_FOLDER]:
        built = [p for p in place.glob(f"{name}-*") if named.fullmatch(p.name) and p.is_dir()]
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
    if image.is_dir():
        return image
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _alone(folder / f".{name}.lock"):
        if not image.is_dir():
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
    """Build the environments named on the command line, or all that are shipped."""
    names = sys.argv[1:] or sorted(p.name for p in definitions_folder().iterdir() if p.is_dir())
    for name in names:
        image = build(name, report=lambda step: print(f"  {step}", file=sys.stderr))  # noqa: T201
        print(image)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How does the launcher start? `python -m carrel.runtime.launcher --home HOME --socket PATH`."""

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

from carrel.runtime.launcher import disks, selftest, server, sweep, weaken
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import ROOT_ENVIRONMENTS, Tre, open_as_root, open_rootless


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="carrel-launcher", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the home of the TRE")
    parser.add_argument("--socket", type=Path, help="where to listen")
    parser.add_argument("--allow-uid", type=int, action="append", default=[], help="who may ask")
    parser.add_argument("--environments", type=Path, help="folder of the environment images")
    parser.add_argument("--no-user-namespaces", action="store_true", help="root does without")
    parser.add_argument("--no-disk-images", action="store_true", help="files in plain folders")
    parser.add_argument("--purge", action="store_true", help="leave nothing of this TRE, and end")
    parser.add_argument("--weaken", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.socket is None and not options.purge:
        parser.error("--socket PATH is missing")
    return options


def _open(options: argparse.Namespace) -> Tre:
    home = Path(os.path.realpath(options.home))
    if not home.is_dir():
        raise Refused("invalid_request", f"There is no folder {home}; make it first.")
    if options.weaken:
        weaken.check_allowed(home, options.weaken)
    if os.geteuid() == 0:
        found = open_as_root(home, options.environments or ROOT_ENVIRONMENTS)
    else:
        own = Path("~/.local/share/carrel/environments").expanduser()
        found = open_rootless(home, options.environments or own)
    return replace(found, weaken=options.weaken)


def main() -> int:
    """Serve until a SIGTERM; return the exit status."""
    options = _arguments()
    try:
        tre = _open(options)
        os.umask(0o022)
        with tre.lock("launcher", wait=False):
            if options.purge:
                sweep.purge(tre)
                return 0
            sweep.sweep_gone(tre)
            usable = not options.no_user_namespaces and selftest.user_namespaces_work(tre)
            images = not options.no_disk_images and disks.images_work(tre)
            usable = usable or not tre.as_root
            tre = replace(tre, user_namespaces=usable, disk_images=images)
            server.adopt_orphans()
            server.work_apart(lambda: selftest.outcome(tre, retry=True))
            listener = server.bind(options.socket)
            sys.stderr.write(f"carrel-launcher: tre {tre.id} at {options.socket}\n")
            try:
                server.serve(tre, listener, frozenset({0, os.geteuid(), *options.allow_uid}))
            finally:
                with contextlib.suppress(FileNotFoundError):
                    options.socket.unlink()
    except Refused as refused:
        sys.stderr.write(f"carrel-launcher: {refused}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

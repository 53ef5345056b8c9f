"""How does a TRE leave the host: on demand, or because its home is gone?"""

import contextlib
import sys

from carrel.runtime.launcher import disks, sandbox, workspaces
from carrel.runtime.launcher import tre as tres
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

TEMPORARY = ("/tmp/", "/var/tmp/", "/run/", "/dev/shm/")  # noqa: S108  # only compared


def purge(tre: Tre) -> None:
    """Remove every workspace and everything else of this TRE from the host but its home."""
    for workspace_id in set(tre.workspace_ids()) | sandbox.group(tre).children():
        workspaces.remove(tre, workspace_id)
    sandbox.group(tre).remove()
    disks.delete_folder(tre.run)
    disks.delete_folder(tre.state)
    if tre.as_root:
        for slot, (tre_id, _) in tres.claims().items():
            if tre_id == tre.id:
                tres.release(slot)
        (tre.home / tres.MARKER).unlink(missing_ok=True)


def sweep_gone(here: Tre) -> None:
    """Purge TREs whose homes, and whose launchers, are gone.

    A home may only be unmounted: then its disks must not be lost, and a person has to say so
    with `--purge`. Homes in a folder for temporary files, and TREs without disks, just go.
    """
    for slot, (tre_id, home) in tres.claims().items() if here.as_root else ():
        if tre_id == here.id or not tres.is_gone(tre_id, home):
            continue
        gone = tres.claimed(slot, tre_id, home, here.environments)
        with contextlib.suppress(Refused), gone.lock("launcher", wait=False):
            if gone.workspace_ids() and not str(home).startswith(TEMPORARY):
                sys.stderr.write(
                    f"carrel-launcher: the home {home} of TRE {tre_id} is gone, its workspaces "
                    f"are not; bring it back, or remove them with --home {home} --purge\n"
                )
            else:
                purge(gone)

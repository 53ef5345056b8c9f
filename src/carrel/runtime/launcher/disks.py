"""Where do a workspace's files lie, and what keeps them from filling the host?

Root mode gives each workspace a sparse file with ext4 in it, mounted through a loop device that
goes away with the mount. An ordinary user has plain folders and no quota.
"""

import os
import stat
import subprocess
import time
from pathlib import Path

from carrel.runtime.launcher import linux
from carrel.runtime.launcher.plans import Workspace
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

MKFS = (
    "/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-O", "^resize_inode",
    "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
)  # fmt: skip
MOUNT_OPTIONS = "loop,nosuid,nodev,noatime,noinit_itable"


def create(tre: Tre, plan: Workspace, *, may_grow: bool) -> None:
    """Make the disk and its folders, or repair what is missing; nothing existing is lost.

    A disk grows, if nobody uses it now, and never shrinks.
    """
    files = tre.files(plan.id)
    files.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not tre.disk_images and tre.image(plan.id).exists():
        reason = "Its disk cannot be mounted: this host has no loop devices (any more)."
        raise Refused("outside_failure", reason)
    if tre.disk_images and may_grow and _is_smaller(tre.image(plan.id), plan.disk_bytes):
        release(tre, plan.id)
        _grow(tre.image(plan.id), plan.disk_bytes)
    if tre.disk_images and not is_mounted(files):
        _make_image(tre.image(plan.id), plan.disk_bytes)
        _run("/usr/bin/mount", "-o", MOUNT_OPTIONS, str(tre.image(plan.id)), str(files))
    for name, mode in (
        ("", 0o710), ("home", 0o710), ("logs", 0o700), ("delivery", 0o700), ("inbox", 0o750),
        ("shared", 0o2770), ("outbox", 0o3770),
    ):  # fmt: skip
        # Members delete only their own files in the outbox (sticky); nobody writes the inbox.
        # Other users of the host see nothing of it: they pass no folder.
        make_folder(tre, files / name, mode, owner=0, group=plan.gid)
    _close_inbox(tre, files / "inbox", plan.gid)


def _close_inbox(tre: Tre, inbox: Path, group: int) -> None:
    """Let the workspace's group read what was delivered, and nobody else."""
    for base, _, names in os.walk(inbox):  # only the launcher writes there: no links
        make_folder(tre, Path(base), 0o750, owner=0, group=group)
        for name in names:
            close_file(tre, os.path.join(base, name), group)


def close_file(tre: Tre, file: str | int, group: int) -> None:
    """Make a delivered file read-only for the group, and nothing for others."""
    if tre.as_root:
        os.chown(file, 0, group)
    os.chmod(file, 0o440)


def make_folder(tre: Tre, folder: Path, mode: int, *, owner: int, group: int) -> None:
    """Make a folder with exactly this mode and owner; may be called twice."""
    folder.mkdir(exist_ok=True)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise Refused("outside_failure", f"{folder} is no folder; a person has to look at it.")
    if tre.as_root:
        os.chown(folder, owner, group)
    folder.chmod(mode)


def remove(tre: Tre, workspace_id: str) -> None:
    """Unmount the disk and delete every file of the workspace; may be called twice."""
    release(tre, workspace_id)
    delete_folder(tre.workspace(workspace_id))


def release(tre: Tre, workspace_id: str) -> None:
    """Unmount the disk and let go of its loop device; the files stay. May be called twice."""
    files = tre.files(workspace_id)
    deadline = time.monotonic() + 10
    while is_mounted(files):
        try:
            linux.unmount(str(files))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    while loops(tre.image(workspace_id)):
        if time.monotonic() > deadline:
            raise Refused("unavailable", f"The loop device of {workspace_id} is still in use.")
        time.sleep(0.005)


def delete_folder(folder: Path) -> None:
    """Delete a folder however deep and whatever modes its members set. Raises `Refused`."""
    if not folder.exists():
        return
    # `rm` needs no recursion of ours for folders nested ten thousand deep.
    if _quiet("/usr/bin/rm", "-rf", "--", str(folder)) and not folder.exists():
        return
    _quiet("/usr/bin/chmod", "-R", "u+rwX", "--", str(folder))
    _run("/usr/bin/rm", "-rf", "--", str(folder))


def images_work(tre: Tre) -> bool:
    """Say, by doing it once, whether this host can mount a file as a disk."""
    if not tre.as_root:
        return False
    folder = tre.state / "try-disk"
    image, files = folder / "disk.img", folder / "files"
    try:
        files.mkdir(parents=True, exist_ok=True)
        _make_image(image, 16 * 2**20)
        _run("/usr/bin/mount", "-o", MOUNT_OPTIONS, str(image), str(files))
        linux.unmount(str(files))
    except (Refused, OSError):
        return False
    finally:
        if is_mounted(files):
            linux.unmount(str(files), linux.MNT_DETACH)
        delete_folder(folder)
    return True


def is_mounted(folder: Path) -> bool:
    """Say whether something is mounted at `folder`."""
    return os.path.ismount(folder)


def loops(image: Path) -> list[str]:
    """Return the loop devices that hold `image` open."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = file.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if backing.removesuffix(" (deleted)") == str(image):
            found.append(file.parent.parent.name)
    return found


def used_bytes(tre: Tre, workspace_id: str) -> int:
    """Return how much of the disk is in use, by everybody together."""
    files = tre.files(workspace_id)
    if tre.disk_images:
        seen = os.statvfs(files)
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize
    output = subprocess.run(
        ["/usr/bin/du", "-s", "-B1", "--", str(files)], capture_output=True, text=True, check=False
    ).stdout
    return int(output.split()[0]) if output else 0


def _make_image(image: Path, size_bytes: int) -> None:
    """Make the file system beside and rename it, so that a half-made one is never mounted."""
    if image.exists():
        return
    temporary = image.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.truncate(fd, size_bytes)
    os.close(fd)
    _run(*MKFS, str(temporary))
    temporary.rename(image)


def _is_smaller(image: Path, size_bytes: int) -> bool:
    return image.exists() and image.stat().st_size < size_bytes


def _grow(image: Path, size_bytes: int) -> None:
    """Check the file system and make it larger; the file itself grows last."""
    checked = subprocess.run(
        ["/usr/sbin/e2fsck", "-f", "-p", str(image)], capture_output=True, text=True, check=False
    )
    if checked.returncode > 1:  # 1: errors were corrected
        raise Refused("outside_failure", f"The disk {image} is damaged: {checked.stdout[-300:]}")
    _run("/usr/sbin/resize2fs", str(image), f"{size_bytes // 512}s")
    os.truncate(image, size_bytes)


def _quiet(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused("outside_failure", f"{command[0]} failed: {done.stderr.strip()[-500:]}")

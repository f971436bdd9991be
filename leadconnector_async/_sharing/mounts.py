"""Whether a folder is on a network file system, where SQLite's locks and shared memory do not work."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias

Mount: TypeAlias = tuple[str, str]
"""A mount point, and the type of its file system."""

_NETWORK: Final = frozenset(
    {"nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "9p", "afs", "ncpfs"}
    | {"ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "pvfs2", "orangefs", "coda", "vboxsf"}
)
_FUSE: Final = ("fuse.", "macfuse", "osxfuse")
_LOCAL_FUSE: Final = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.bindfs", "fuse.lxcfs"})
_ESCAPES: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}
_MOUNTINFO: Final = "/proc/self/mountinfo"
_REMOTE_DRIVE: Final = 4
_MOUNT_SECONDS: Final = 5.0


def find_network(folder: str) -> str | None:
    """The type of the network file system that a folder is on; `None` if it is on a local one, or unknown."""
    folder = os.path.realpath(folder)
    if os.name == "nt":
        return _ask_windows(folder)
    with suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return choose_network(folder, _list_mounts())
    return None


def choose_network(folder: str, mounts: Iterable[Mount]) -> str | None:
    """The type of the innermost mount that holds a folder, if that is a network file system."""
    found = ("", "")
    for point, kind in mounts:  # a later mount hides an earlier one at the same point
        if (folder == point or folder.startswith(f"{point.rstrip('/')}/")) and len(point) >= len(found[0]):
            found = (point, kind)
    kind = found[1]
    is_network = kind in _NETWORK or (kind.startswith(_FUSE) and kind not in _LOCAL_FUSE)
    return kind if is_network else None


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts in `/proc/self/mountinfo`."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4]
        for code, character in _ESCAPES.items():
            point = point.replace(code, character)
        yield point, after.split(" ")[0]


def parse_mount_command(text: str) -> Iterator[Mount]:
    """The mounts that `mount` prints on macOS and BSD: `//host/share on /Volumes/share (smbfs, nodev)`."""
    for line in text.splitlines():
        head, _, options = line.rpartition(" (")
        yield head.partition(" on ")[2], options.rstrip(")").split(",")[0]


def _list_mounts() -> Iterator[Mount]:
    if os.path.exists(_MOUNTINFO):
        with open(_MOUNTINFO, encoding="utf-8", errors="surrogateescape") as file:
            return parse_mountinfo(file.read())
    listed = subprocess.run(["/sbin/mount"], check=True, capture_output=True, text=True, timeout=_MOUNT_SECONDS)
    return parse_mount_command(listed.stdout)


def _ask_windows(folder: str) -> str | None:
    """A share by its name, or a drive letter that is one."""
    import ctypes  # noqa: PLC0415 - only Windows needs it

    drive = os.path.splitdrive(folder)[0]
    if drive.startswith("\\\\"):
        return "share"
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - it exists on Windows only
    return "drive" if kernel.GetDriveTypeW(f"{drive}\\") == _REMOTE_DRIVE else None

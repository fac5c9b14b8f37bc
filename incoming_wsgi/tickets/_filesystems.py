"""Which file systems are other machines' disks. SQLite's WAL does not work there."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["is_network_file_system"]

# fmt: off
NETWORK_TYPES = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.ceph", "fuse.glusterfs",
    "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2",
    "orangefs", "smb3", "smbfs", "virtiofs",
))
# fmt: on
MOUNTS = Path("/proc/self/mountinfo")


def is_network_file_system(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `folder` lies on a network file system, as far as `mounts` (proc(5)) tells.

    False where there is no such list (not Linux).
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    path = os.path.realpath(folder)
    best, kind = "", ""
    for line in lines:
        mount, _, source = line.partition(" - ")
        # Blanks, tabs, newlines and backslashes are written as octal escapes.
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount.split()[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(best):
            best, kind = point, source.split()[0]
    return kind in NETWORK_TYPES

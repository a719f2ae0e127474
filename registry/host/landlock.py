"""The file wall: a Landlock ruleset that handles every right the kernel knows and grants none.

The second wall behind seccomp, in case a call is forgotten there. Must never add a rule that allows something.
"""

from __future__ import annotations

import ctypes
import errno

from registry.host.kernel import call_system

#: The same on every architecture (asm-generic/unistd.h).
CREATE_RULESET = 444
RESTRICT_SELF = 446
ASK_VERSION = 1

#: Bits of each right since the ABI that brought it (linux/landlock.h). Files: execute to make_sym, then refer, truncate, ioctl_dev.
FILE_RIGHTS = {1: 0x1FFF, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
#: Network: bind and connect over TCP. Scopes: abstract UNIX sockets, signals.
NETWORK_RIGHTS = {4: 0b11}
SCOPES = {6: 0b11}


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`; an older kernel takes it as long as what it doesn't know is zero."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def find_version() -> int | None:
    """Return the kernel's Landlock ABI, or None where it has none, has it switched off, or may not be asked."""
    try:
        return call_system(CREATE_RULESET, 0, 0, ASK_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return None
        raise


def install(version: int) -> int:
    """Deny the calling thread everything that ABI `version` can deny, for good; no_new_privs must be set.

    Returns the descriptor of the ruleset, for the caller to close. Raises OSError.
    """
    ruleset = _Ruleset(_known(FILE_RIGHTS, version), _known(NETWORK_RIGHTS, version), _known(SCOPES, version))
    descriptor = call_system(CREATE_RULESET, ctypes.addressof(ruleset), ctypes.sizeof(ruleset), 0)
    call_system(RESTRICT_SELF, descriptor, 0)
    return descriptor


def _known(rights: dict[int, int], version: int) -> int:
    return sum(bits for since, bits in rights.items() if since <= version)

"""Linux calls that Python has no name for, by ctypes; looked up once, before any lock.

Thin on purpose: a number and its arguments in, the result or OSError out. Nothing here decides anything.
"""

from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def call_prctl(option: int, *arguments: int) -> int:
    """Call prctl(2), its missing arguments zero. Raises OSError."""
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *padded))


def call_system(number: int, *arguments: int) -> int:
    """Make a system call by its number, with integers or addresses. Raises OSError."""
    return _checked(_libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(argument) for argument in arguments)))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result

"""What Granian loads in each web process: the application, its watcher, and an end that comes with its parent's.

Only for `modelyard serve`, which has prepared the instance folder and made Granian the leader of a process group.
"""
# ruff: noqa: E402 - the first lines that run must tie this process to its parent, since importing the rest takes a second

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
#: A prediction waits for sockets a few times, and each time again for the interpreter while another request computes.
_SWITCH_SECONDS = 0.001

# Granian may be killed without a chance to end its web processes, which would go on holding the port.
ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.getppid() != os.getpgrp():
    sys.exit("Granian is gone")
# Until Granian sets the worker's own handlers, those of its main process stand, in which a SIGTERM would be lost.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_DFL)

import gc

from config import Config, forget_settings
from registry.app import create_app
from registry.observability import configure_logging
from registry.watcher import Watcher
from registry.wiring import services


def _start() -> object:
    config = Config.from_environ()
    configure_logging(config.log_level)
    forget_settings()  # Granian makes each request's environ from it: settings and secrets have no place there
    application = create_app(config)
    with application.app_context():
        built = services()
    Watcher(application, built).start()
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)
    return application


app = _start()

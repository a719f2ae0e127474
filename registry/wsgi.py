"""What Granian loads in each web process: the application, its watcher, and an end that comes with its parent's.

Only for `modelyard serve`, which has prepared the instance folder.
"""

from __future__ import annotations

import ctypes
import gc
import signal

from config import Config
from registry.app import create_app
from registry.observability import configure_logging
from registry.watcher import Watcher
from registry.wiring import services

_PR_SET_PDEATHSIG = 1


def _start() -> object:
    # Granian may be killed without a chance to end its web processes, which would go on holding the port
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    config = Config.from_environ()
    configure_logging(config.log_level)
    application = create_app(config)
    with application.app_context():
        built = services()
    Watcher(application, built).start()
    gc.collect()
    gc.freeze()
    return application


app = _start()

"""Lets coverage measure Granian's web processes. Loaded by coverage itself in every measured process; does nothing elsewhere.

Granian calls the application from threads that Python didn't start, which `threading.settrace` never reaches, and its
web processes leave without running `atexit`. It must not be imported by the product.
"""

from __future__ import annotations

import functools
import importlib
import multiprocessing.util
import sys
import threading
from collections.abc import Callable
from typing import Any

import coverage


def coverage_init(_registry: Any, _options: dict[str, Any]) -> None:
    """Prepare a Granian process. Coverage calls this as it starts, before Granian's own modules are imported."""
    if any("granian" in word for word in sys.orig_argv):
        server: Any = importlib.import_module("granian.server.mp")
        server._wsgi_call_wrap = _tracing(server._wsgi_call_wrap)
        multiprocessing.util.register_after_fork(sys.modules[__name__], lambda _module: _save_at_end())


def _tracing(wrap: Callable[..., Any]) -> Callable[..., Any]:
    """Make each thread trace itself from its first request on."""

    @functools.wraps(wrap)
    def wrapped(application: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def traced(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if sys.gettrace() is None:
                sys.settrace(threading.gettrace())
            return application(environ, start_response)

        return wrap(traced, *args, **kwargs)

    return wrapped


def _save_at_end() -> None:
    multiprocessing.util.Finalize(None, _save, exitpriority=0)


def _save() -> None:
    current = coverage.Coverage.current()
    if current is not None:
        current.stop()
        current.save()

"""What a program may call in Python's own library to run code, touch a file or connect: one expression for each way.

Each takes the canary and returns the expression; `UNSURE` are those that leave no trace everywhere when loaded plainly.
"""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

from tests.conformance.hostile.assembler import Call, Expression, Name, New, loading
from tests.conformance.hostile.case import Canary

Payload = Callable[[Canary], Expression]


def name(dotted: str) -> Name:
    """Return `module:qualified.name` as a name."""
    module, _, rest = dotted.partition(":")
    return Name(module, rest)


def call(dotted: str, *arguments: Any) -> Call:
    """Return a call of a global."""
    return Call(name(dotted), *arguments)


def method(of: Any, called: str, *arguments: Any) -> Call:
    """Return a call of a method, which a pickle reaches by `operator.methodcaller`."""
    return Call(call("operator:methodcaller", called, *arguments), of)


def attribute(of: Any, named: str) -> Call:
    """Return an attribute, which a pickle reaches by `getattr`."""
    return call("builtins:getattr", of, named)


def _system() -> Call:
    return attribute(call("builtins:__import__", "os"), "system")


def _inner(canary: Canary) -> bytes:
    return loading(call("os:system", canary.command))


def _code(canary: Canary) -> bytes:
    return marshal.dumps(compile(canary.source, "<model>", "exec"))


def _compiled(canary: Canary) -> Call:
    return call("builtins:compile", canary.source, "<model>", "exec")


PROCESSES: dict[str, Payload] = {
    "os-system": lambda c: call("os:system", c.command),
    "posix-system": lambda c: call("posix:system", c.command),
    "os-popen": lambda c: method(call("os:popen", c.command), "close"),
    "os-posix-spawn": lambda c: call("os:waitpid", call("os:posix_spawn", "/usr/bin/touch", ["touch", c.marker], {}), 0),
    "os-spawnv": lambda c: call("os:spawnv", 0, "/usr/bin/touch", ["touch", c.marker]),
    "os-execv": lambda c: call("os:execv", "/usr/bin/touch", ["touch", c.marker]),
    "pty-spawn": lambda c: call("pty:spawn", ["touch", c.marker]),
    "subprocess-call": lambda c: call("subprocess:call", ["touch", c.marker]),
    "subprocess-check-output": lambda c: call("subprocess:check_output", ["touch", c.marker]),
    "subprocess-getoutput": lambda c: call("subprocess:getoutput", c.command),
    "subprocess-popen": lambda c: method(call("subprocess:Popen", ["touch", c.marker]), "wait"),
    "uuid-get-command-stdout": lambda c: method(call("uuid:_get_command_stdout", "touch", c.marker), "read"),
    "pydoc-pipepager": lambda c: call("pydoc:pipepager", "text", c.command),
    "webbrowser": lambda c: method(call("webbrowser:GenericBrowser", ["touch", c.marker]), "open", "x"),
    "multiprocessing-run": lambda c: method(call("multiprocessing:Process", None, name("os:system"), "x", (c.command,)), "run"),
    "thread": lambda c: call("time:sleep", call("builtins:min", 0.2, call("_thread:start_new_thread", name("os:system"), (c.command,)))),
    "threading-timer": lambda c: method(call("threading:Timer", 0, name("os:system"), (c.command,)), "run"),
    "ctypes-cdll": lambda c: Call(attribute(call("ctypes:CDLL", None), "system"), c.command.encode()),
}

CODE: dict[str, Payload] = {
    "builtins-exec": lambda c: call("builtins:exec", c.source),
    "builtins-eval": lambda c: call("builtins:eval", c.source),
    "builtin-eval-python-2-name": lambda c: call("__builtin__:eval", c.source),
    "compile-and-exec": lambda c: call("builtins:exec", _compiled(c)),
    "main-eval": lambda c: call("__main__:__builtins__.eval", c.source),
    "getattr-of-import": lambda c: Call(_system(), c.command),
    "attrgetter": lambda c: Call(Call(call("operator:attrgetter", "system"), call("builtins:__import__", "os")), c.command),
    "methodcaller": lambda c: method(call("importlib:import_module", "os"), "system", c.command),
    "itemgetter-of-sys-modules": lambda c: method(Call(call("operator:itemgetter", "os"), name("sys:modules")), "system", c.command),
    "globals-of-a-function": lambda c: method(
        Call(call("operator:itemgetter", "os"), name("sklearn.datasets._base:load_files.__globals__")), "system", c.command
    ),
    "partial": lambda c: Call(call("functools:partial", name("os:system"), c.command)),
    "reduce": lambda c: call("functools:reduce", name("builtins:getattr"), ["system"], call("builtins:__import__", "os")),
    "reduce-and-call": lambda c: call("functools:reduce", name("operator:call"), [c.command], name("os:system")),
    "map": lambda c: call("builtins:list", call("builtins:map", name("os:system"), [c.command])),
    "starmap": lambda c: call("builtins:tuple", call("itertools:starmap", name("os:system"), [(c.command,)])),
    "filter": lambda c: call("builtins:set", New(name("builtins:filter"), name("os:system"), [c.command])),
    "function-type": lambda c: Call(call("types:FunctionType", call("marshal:loads", _code(c)), {})),
    "marshal": lambda c: call("builtins:exec", call("marshal:loads", _code(c))),
    "run-code": lambda c: call("runpy:_run_code", _compiled(c), {}),
    "timeit": lambda c: call("timeit:timeit", c.source, "pass", name("time:perf_counter"), 1),
    "profile": lambda c: call("profile:run", c.source),
    "cprofile": lambda c: call("cProfile:run", c.source),
    "trace": lambda c: method(call("trace:Trace"), "run", c.source),
    "bdb": lambda c: method(call("bdb:Bdb"), "run", c.source),
    "pdb": lambda c: call("pdb:run", c.source),
    "code-interpreter": lambda c: method(call("code:InteractiveInterpreter"), "runsource", c.source),
    "code-interact": lambda c: call("code:interact", c.source),
    "doctest": lambda c: call("doctest:debug_script", c.source),
    "dataclasses-create-fn": lambda c: Call(call("dataclasses:_create_fn", "f", (), [c.source])),
    "forward-reference": lambda c: call("typing:_eval_type", call("typing:ForwardRef", c.source), {}, {}),
    "pickle-loads": lambda c: call("pickle:loads", _inner(c)),
    "c-pickle-loads": lambda c: call("_pickle:loads", _inner(c)),
    "joblib-load": lambda c: call("joblib:load", call("io:BytesIO", _inner(c))),
    "cloudpickle-loads": lambda c: call("cloudpickle:loads", _inner(c)),
    "codecs-decode-then-loads": lambda c: call("pickle:loads", call("_codecs:encode", _inner(c).decode("latin1"), "latin1")),
    "copyreg-newobj": lambda c: method(call("copyreg:__newobj__", name("io:FileIO")), "__init__", c.marker, "w"),
    "copyreg-reconstructor": lambda c: call("copyreg:_reconstructor", name("builtins:map"), name("builtins:object"), None),
    "copyreg-add-extension": lambda c: call("copyreg:add_extension", "os", "system", 240),
    "logging-config": lambda c: call(
        "logging.config:dictConfig", {"version": 1, "formatters": {"x": {"()": "os.system", "command": c.command}}}
    ),
    "atexit": lambda c: call("builtins:max", call("builtins:id", call("atexit:register", name("os:system"), c.command)), 1),
    "weakref-finalize": lambda c: Call(call("weakref:finalize", name("pathlib:Path"), name("os:system"), c.command)),
    "signal-handler": lambda c: call("signal:signal", 10, name("os:_exit")),
    "settrace": lambda c: call("sys:settrace", name("os:system")),
    "recursion-limit": lambda c: call("sys:setrecursionlimit", 2_000_000_000),
}

FILES: dict[str, Payload] = {
    "open": lambda c: call("builtins:open", c.marker, "w"),
    "io-open": lambda c: call("_io:open", c.marker, "w"),
    "fileio": lambda c: call("_io:FileIO", c.marker, "w"),
    "codecs-open": lambda c: call("codecs:open", c.marker, "w"),
    "path-touch": lambda c: call("pathlib:Path.touch", call("pathlib:Path", c.marker)),
    "path-write-text": lambda c: method(call("pathlib:PosixPath", c.marker), "write_text", "x"),
    "os-open": lambda c: call("os:open", c.marker, 0o101),
    "os-mkdir": lambda c: call("os:mkdir", c.marker),
    "os-mkfifo": lambda c: call("os:mkfifo", c.marker),
    "os-symlink": lambda c: call("os:symlink", "/etc", c.marker),
    "os-rename": lambda c: call("os:rename", c.sentinel, c.marker),
    "os-remove": lambda c: call("os:remove", c.sentinel),
    "os-truncate": lambda c: call("os:truncate", c.sentinel, 0),
    "shutil-rmtree": lambda c: call("shutil:rmtree", str(c.folder)),
    "shutil-copy": lambda c: call("shutil:copy", c.sentinel, c.marker),
    "shutil-archive": lambda c: call("shutil:make_archive", c.marker, "tar", str(c.folder)),
    "tempfile": lambda c: call("tempfile:mkdtemp", "", "t", str(c.folder)),
    "sqlite": lambda c: method(call("sqlite3:connect", c.marker), "execute", "create table t (x)"),
    "shelve": lambda c: call("shelve:open", c.marker),
    "zipfile": lambda c: call("zipfile:ZipFile", c.marker, "w"),
    "tarfile": lambda c: call("tarfile:open", c.marker, "w"),
    "gzip": lambda c: call("gzip:GzipFile", c.marker, "w"),
    "logging-handler": lambda c: call("logging:FileHandler", c.marker),
    "mailbox": lambda c: call("mailbox:Maildir", c.marker),
    "zipimport": lambda c: call("zipimport:zipimporter", c.sentinel),
}

CONNECTIONS: dict[str, Payload] = {
    "create-connection": lambda c: call("socket:create_connection", c.address),
    "socket-connect": lambda c: method(call("socket:socket"), "connect", c.address),
    "c-socket-connect": lambda c: method(call("_socket:socket", 2, 1), "connect", c.address),
    "urlopen": lambda c: call("urllib.request:urlopen", c.url, None, 0.3),
    "http-client": lambda c: method(call("http.client:HTTPConnection", *c.address), "connect"),
    "smtp": lambda c: call("smtplib:SMTP", *c.address, "x", 0.3),
    "multiprocessing-client": lambda c: call("multiprocessing.connection:Client", c.address),
    "resolve-name": lambda c: method(call("socket:getaddrinfo", *c.address), "copy"),
}

CRASHES: dict[str, Payload] = {
    "os-exit": lambda c: call("os:_exit", 0),
    "os-abort": lambda c: call("os:abort"),
    "os-kill-itself": lambda c: call("os:kill", call("os:getpid"), 9),
    "sys-exit": lambda c: call("sys:exit", 0),
    "faulthandler-segfault": lambda c: call("faulthandler:_sigsegv"),
    "ctypes-string-at-null": lambda c: call("ctypes:string_at", 0),
    "read-standard-input": lambda c: call("builtins:input"),
    "sleep-for-ever": lambda c: call("time:sleep", 1_000_000),
    "pow-for-ever": lambda c: call("builtins:pow", 3, 10**9),
    "huge-bytes": lambda c: call("builtins:bytearray", 1 << 40),
}

#: Leave no trace when they are loaded plainly: they fail here, only prepare something, or do other harm.
UNSURE = {
    "builtin-eval-python-2-name", "globals-of-a-function", "reduce", "copyreg-reconstructor", "copyreg-add-extension", "atexit",
    "code-interact", "pdb", "doctest", "signal-handler", "settrace", "recursion-limit", "zipimport", "resolve-name",
    *CRASHES,
}  # fmt: skip

STANDARD: dict[str, Payload] = {**PROCESSES, **CODE, **FILES, **CONNECTIONS, **CRASHES}

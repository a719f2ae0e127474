"""Names that no model needs, called at the top of a file, in every hiding place of one, and compressed."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

import bz2
import copy
import functools
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.conformance.hostile import gadgets, payloads
from tests.conformance.hostile.assembler import Built, Call, Expression, InnerArray, Name, New, Raw, loading, planted, planted_joblib
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.payloads import Payload, call, name


def fitted() -> Any:
    """Return a small fitted classifier, each time another copy."""
    return copy.deepcopy(_fitted())


@functools.cache
def _fitted() -> Any:
    rows = np.arange(24.0).reshape(8, 3)
    return LogisticRegression().fit(rows, [0, 1] * 4)


def with_state(**state: Any) -> Any:
    """Return the classifier with further state."""
    model = fitted()
    model.__dict__.update(state)
    return model


def _inner(*items: Any, **options: Any) -> bytes:
    return planted_joblib(with_state(classes_=InnerArray(*items, **options)))


#: Where a call hides; each takes the expression and returns the file.
PLACES: dict[str, Callable[[Expression], bytes]] = {
    "estimator-state": lambda e: planted(with_state(coef_=e)),
    "estimator-state-key": lambda e: planted(with_state(class_weight={e: 1.0})),
    "joblib-estimator-state": lambda e: planted_joblib(with_state(intercept_=e)),
    "object-array-inner-stream-5": lambda e: _inner(e, 1),
    "object-array-inner-stream-2": lambda e: _inner(e, 1, protocol=2),
    "object-array-inner-program": lambda e: _inner(1, stream=loading(e)),
    "object-array-in-object-array": lambda e: _inner([(e,)], 1),
    "pipeline-step": lambda e: planted(_pipeline_with(e)),
    "set-member": lambda e: planted(with_state(class_weight=Raw(b"\x8f(" + _code(e) + b"\x90"))),
    "popped-before-the-model": lambda e: b"\x80\x04" + _code(e) + b"0" + planted(fitted())[2:],
    "memo-only": lambda e: b"\x80\x04" + _code(e) + b"q\xf00" + planted(fitted())[2:],
    "state-of-dtype": lambda e: planted(with_state(coef_=_dtype_with(e))),
    "argument-of-an-allowed-call": lambda e: planted(with_state(coef_=call("numpy._core.multiarray:scalar", e, b"x"))),
    "default-factory": lambda e: planted(with_state(class_weight=call("collections:defaultdict", e))),
    "slots-half-of-the-state": lambda e: planted(
        with_state(solver=Built(New(name("sklearn.linear_model._base:LinearRegression")), (None, {"coef_": e})))
    ),
    "frozenset-member": lambda e: planted(with_state(class_weight=Raw(b"(" + _code(e) + b"\x91"))),
}

COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
}

#: What is hidden in each place: a command, a file, a connection, and one by a name under a package of models.
HIDDEN: dict[str, Payload] = {
    "command": payloads.STANDARD["os-system"],
    "file": payloads.STANDARD["open"],
    "connection": payloads.STANDARD["create-connection"],
    "gadget": gadgets.PACKAGES["numpy-runstring"],
}


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    yield from _on_top(trap)
    yield from _hidden(trap)
    yield from _spelled(trap)


def _on_top(trap: Trap) -> Iterator[Hostile]:
    for title, payload in {**payloads.STANDARD, **gadgets.PACKAGES}.items():
        canary = trap.canary(f"name-{title}")
        fires = title not in payloads.UNSURE | gadgets.UNSURE
        yield Hostile(canary.folder.name, "name", loading(payload(canary)), canary, fires=fires)


def _hidden(trap: Trap) -> Iterator[Hostile]:
    for place, hide in PLACES.items():
        for what, payload in HIDDEN.items():
            canary = trap.canary(f"hidden-{place}-{what}")
            yield Hostile(canary.folder.name, "name", hide(payload(canary)), canary, fires=True)
    for method, compress in COMPRESSED.items():
        canary = trap.canary(f"hidden-{method}")
        yield Hostile(canary.folder.name, "name", compress(loading(payloads.STANDARD["os-system"](canary))), canary, fires=True)
        canary = trap.canary(f"hidden-{method}-inner-stream")
        yield Hostile(canary.folder.name, "name", compress(_inner(HIDDEN["file"](canary), 1)), canary, fires=True)


SPELLINGS: dict[str, Callable[[Canary], bytes]] = {
    "protocol-2-global": lambda c: loading(call("os:system", c.command), 2),
    "protocol-3-global": lambda c: loading(call("posix:system", c.command), 3),
    "protocol-5": lambda c: loading(call("os:system", c.command), 5),
    "dotted-through-an-allowed-module": lambda c: loading(call("sklearn.datasets._base:os.path.os.system", c.command)),
    "dotted-through-an-allowed-class": lambda c: loading(call("sklearn.linear_model._base:LinearRegression.fit.__globals__", c.command)),
    "dotted-dunder-class": lambda c: loading(name("sklearn.linear_model._base:LinearRegression.__init__.__globals__")),
    "dotted-subclasses": lambda c: loading(call("builtins:object.__subclasses__")),
    "method-of-an-allowed-class": lambda c: loading(call("sklearn.linear_model._base:LinearRegression.set_params", None)),
    "private-function-of-scikit-learn": lambda c: loading(call("sklearn.utils._joblib:joblib.load", c.sentinel)),
    "module-as-value": lambda c: planted(with_state(coef_=name("sklearn:base"))),
    "class-as-value": lambda c: planted(with_state(coef_=name("subprocess:Popen"))),
    "builtin-as-value": lambda c: planted(with_state(coef_=name("builtins:eval"))),
    "empty-module": lambda c: loading(Name("", "system")),
    "empty-name": lambda c: loading(Name("os", "")),
    "module-with-a-newline": lambda c: loading(Name("os\nsystem", "x")),
    "module-with-nul": lambda c: loading(Name("os\0", "system")),
    "module-of-surrogates": lambda c: loading(Name("\ud800", "\udfff")),
    "module-in-wide-letters": lambda c: loading(call("\uff4f\uff53:system", c.command)),
    "name-in-wide-letters": lambda c: loading(call("os:\uff53ystem", c.command)),
    "module-of-another-path": lambda c: loading(name("../../tmp/evil:x")),
    "module-that-is-not-there": lambda c: loading(name("this_module_is_not_there:Model")),
    "main-class": lambda c: loading(New(name("__main__:Model"))),
    "test-module-of-scikit-learn": lambda c: loading(name("sklearn.tests.test_base:MyEstimator")),
    "antigravity": lambda c: loading(name("this:s")),
    "long-name": lambda c: loading(Name("os", "x" * 100_000)),
    "subclass-of-str-as-name": lambda c: loading(Raw(_code(call("numpy:str_", "os")) + _code("system") + b"\x93")),
    "name-is-a-number": lambda c: loading(Raw(_code("os") + b"K\x01\x93")),
    "name-is-a-list": lambda c: loading(Raw(_code(["os"]) + _code("system") + b"\x93")),
    "bytes-as-name": lambda c: loading(Raw(_code(b"os") + _code(b"system") + b"\x93")),
    "unfitted-base-class": lambda c: loading(New(name("sklearn.base:BaseEstimator"))),
    "meta-class": lambda c: loading(call("builtins:type", "Model", (), {"predict": name("os:system")})),
    "abc-meta-class": lambda c: loading(
        Call(call("abc:ABCMeta", "Model", (name("sklearn.base:BaseEstimator"),), {"predict": name("os:system")}))
    ),
}


def _spelled(trap: Trap) -> Iterator[Hostile]:
    for title, build in SPELLINGS.items():
        canary = trap.canary(f"spelled-{title}")
        yield Hostile(
            canary.folder.name, "name", build(canary), canary, fires=title.startswith(("protocol", "dotted-through-an-allowed-module"))
        )


def _pipeline_with(step: Any) -> Any:
    model = make_pipeline(StandardScaler(), LinearRegression()).fit([[0.0], [1.0]], [0.0, 1.0])
    model.steps.insert(1, ("step", step))
    return model


def _dtype_with(metadata: Any) -> Expression:
    return Built(call("numpy:dtype", "V8", False, True), (3, "|", None, None, None, 8, 1, 0, metadata))


def _code(value: Any) -> bytes:
    return loading(value)[2:-1]

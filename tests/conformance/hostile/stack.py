"""Tricks with the pickle machine itself: opcodes no model needs, marks, the memo, and calls on what isn't a name."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from sklearn.linear_model import LinearRegression

from tests.conformance.hostile.assembler import Built, Call, Name, New, Program, Raw, code_of, loading, planted
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.names import fitted, with_state
from tests.conformance.hostile.payloads import call, name

LINEAR = Name("sklearn.linear_model._base", "LinearRegression")
LOGISTIC = Name("sklearn.linear_model._logistic", "LogisticRegression")
Maker = Callable[[Canary], bytes]


def _good() -> bytes:
    """Return the opcodes that push a fitted model, without PROTO and STOP."""
    return planted(fitted())[2:-1]


def _with(code: bytes) -> bytes:
    """Return a file that runs some opcodes in front of a good model."""
    return b"\x80\x04" + code + _good() + b"."


def _text(value: str) -> bytes:
    return code_of(value)


#: These run a command when they are loaded plainly.
FIRING: dict[str, Maker] = {
    "inst": lambda c: Program(2).op(b"(").push(c.command).op(b"ios\nsystem\n").stop(),
    "obj": lambda c: Program(2).op(b"(").push(name("os:system"), c.command).op(b"o").stop(),
    "newobj-ex": lambda c: Program().push(name("numpy:memmap"), (c.marker,), {"mode": "w+", "shape": 8}).op(b"\x92").stop(),
    "newobj-ex-partial": lambda c: Program().push(name("functools:partial"), (name("os:system"), c.command), {}).op(b"\x92)R").stop(),
    "call-through-dup": lambda c: Program().push(name("os:system")).op(b"2").push((c.command,)).op(b"R0").stop(),
    "call-through-memo": lambda c: (
        Program(2).push(name("os:system")).op(b"q\x000").push(1).op(b"0h\x00").push((c.command,)).op(b"R").stop()
    ),
    "call-through-memoize": lambda c: Program().push(name("os:system")).op(b"\x940h\x00").push((c.command,)).op(b"R").stop(),
    "memo-overwritten": lambda c: (
        Program(2).push(LINEAR).op(b"q\x000").push(name("os:system")).op(b"q\x000h\x00").push((c.command,)).op(b"R").stop()
    ),
    "memo-by-text-opcodes": lambda c: Program(2).push(name("os:system")).op(b"p7\n0g7\n").push((c.command,)).op(b"R").stop(),
    "name-from-memo": lambda c: (
        Program().push("os").op(b"\x940").push("system").op(b"\x940h\x00h\x01\x93").push((c.command,)).op(b"R").stop()
    ),
    "name-split-over-frames": lambda c: (
        Program().frame(_text("os")).frame(_text("system")).frame(b"\x93").push((c.command,)).op(b"R").stop()
    ),
    "call-in-a-popped-mark": lambda c: _with(b"(" + code_of(call("os:system", c.command)) + b"1"),
    "call-left-on-the-stack": lambda c: _with(code_of(call("os:system", c.command))),
    "call-as-argument": lambda c: loading(call("builtins:list", (call("os:system", c.command),))),
    "call-with-list-of-arguments": lambda c: Program(2).push(name("os:system"), [c.command]).op(b"R").stop(),
    "extend-of-a-foreign-object": lambda c: (
        Program().push(call("functools:partial", name("os:system"))).op(b"0").push(call("os:system", c.command)).stop()
    ),
    "append-calls-a-method": lambda c: Program().push(_appender()).push(c.command).op(b"a").stop(),
    "appends-calls-a-method": lambda c: Program().push(_appender()).op(b"(").push(c.command).op(b"e").stop(),
    "additems-calls-a-method": lambda c: Program().push(_appender()).op(b"(").push(c.command).op(b"\x90").stop(),
    "two-protocols": lambda c: Program(2).op(b"\x80\x04").push(call("os:system", c.command)).stop(),
    "stop-inside-of-a-mark": lambda c: Program().op(b"(").push(call("os:system", c.command)).stop(),
}

#: These do other harm, or only what a loader of models must not take.
QUIET: dict[str, Maker] = {
    "extension-1": lambda c: Program(2).op(b"\x82\xf0").push((c.command,)).op(b"R").stop(),
    "extension-2": lambda c: Program(2).op(b"\x83\xf0\x00").push((c.command,)).op(b"R").stop(),
    "extension-4": lambda c: Program(2).op(b"\x84\xf0\x00\x00\x00").push((c.command,)).op(b"R").stop(),
    "persistent-id": lambda c: Program(2).op(b"P" + c.command.encode() + b"\n").stop(),
    "binary-persistent-id": lambda c: Program(2).push(c.command).op(b"Q").stop(),
    "next-buffer": lambda c: Program(5).op(b"\x97").stop(),
    "readonly-buffer": lambda c: Program(5).push(b"x").op(b"\x98").stop(),
    "bytearray8": lambda c: Program(5).op(b"\x96" + struct.pack("<Q", 3) + b"abc").stop(),
    "unknown-opcode": lambda c: Program().op(b"\xff").stop(),
    "zero-opcode": lambda c: Program().op(b"\x00").stop(),
    "protocol-6": lambda c: b"\x80\x06N.",
    "protocol-255-inside": lambda c: b"\x80\x04\x80\xff" + _good() + b".",
    "protocol-in-the-middle": lambda c: _with(b"\x80\x02"),
    "only-protocol": lambda c: b"\x80\x04",
    "stop-without-value": lambda c: Program().stop(),
    "stop-with-two-values": lambda c: _with(b"N"),
    "stop-after-a-mark": lambda c: _with(b"("),
    "no-stop": lambda c: b"\x80\x04" + _good(),
    "get-before-put": lambda c: Program(2).op(b"h\x05").stop(),
    "get-of-a-negative-index": lambda c: Program(2).op(b"g-1\n").stop(),
    "put-at-a-negative-index": lambda c: Program(2).op(b"Np-1\n").stop(),
    "put-with-an-empty-stack": lambda c: Program(2).op(b"q\x00").stop(),
    "memoize-with-an-empty-stack": lambda c: Program().op(b"\x94").stop(),
    "get-of-no-number": lambda c: Program(2).op(b"gos.system\n").stop(),
    "get-of-unicode-digits": lambda c: Program(2).op(b"N").op("p\u0661\n".encode()).stop(),
    "pop-of-an-empty-stack": lambda c: Program().op(b"000").stop(),
    "pop-past-a-mark": lambda c: Program().push(1).op(b"(00").stop(),
    "pop-mark-without-mark": lambda c: Program().push(1).op(b"1").stop(),
    "dup-of-an-empty-stack": lambda c: Program().op(b"2").stop(),
    "dup-of-a-mark": lambda c: Program().op(b"(2tR").stop(),
    "tuple-without-mark": lambda c: Program().push(1).op(b"t").stop(),
    "tuple2-of-one": lambda c: Program().push(1).op(b"\x86").stop(),
    "tuple-past-a-mark": lambda c: Program().push(1).op(b"(").push(2).op(b"\x86").stop(),
    "dict-of-an-odd-count": lambda c: Program().op(b"(").push(1, 2, 3).op(b"d").stop(),
    "setitems-of-an-odd-count": lambda c: Program().op(b"}(").push(1, 2, 3).op(b"u").stop(),
    "append-to-an-integer": lambda c: Program().push(1, 2).op(b"a").stop(),
    "append-to-a-class": lambda c: Program().push(LINEAR, 2).op(b"a").stop(),
    "append-to-an-estimator": lambda c: Program().push(New(LINEAR), 2).op(b"a").stop(),
    "setitem-on-an-estimator": lambda c: Program().push(New(LINEAR), "coef_", 2).op(b"s").stop(),
    "setitem-on-an-array": lambda c: Program().push(call("numpy:zeros", 3), 0, 2).op(b"s").stop(),
    "setitem-on-module-globals": lambda c: Program().push(name("sklearn.base:__dict__"), "clone", None).op(b"s").stop(),
    "setitem-on-sys-modules": lambda c: Program().push(name("sys:modules"), "os", None).op(b"s").stop(),
    "append-to-sys-path": lambda c: Program().push(name("sys:path"), str(c.folder)).op(b"a").stop(),
    "additems-to-a-list": lambda c: Program().op(b"](").push(1).op(b"\x90").stop(),
    "additems-to-a-frozenset": lambda c: Program().op(b"(\x91(").push(1).op(b"\x90").stop(),
    "extend-of-a-text": lambda c: Program().push("text").op(b"(").push(1).op(b"e").stop(),
    "call-of-a-text": lambda c: Program().push("os.system", (c.command,)).op(b"R").stop(),
    "call-of-a-number": lambda c: Program().push(1, ()).op(b"R").stop(),
    "call-of-a-tuple": lambda c: Program().push((name("os:system"),), (c.command,)).op(b"R").stop(),
    "call-of-an-estimator": lambda c: Program().push(New(LINEAR), ()).op(b"R").stop(),
    "call-of-an-estimator-class": lambda c: loading(Call(LINEAR)),
    "call-of-an-estimator-class-with-a-callable": lambda c: loading(
        Call(Name("sklearn.preprocessing._function_transformer", "FunctionTransformer"), name("os:system"))
    ),
    "call-with-arguments-that-are-no-tuple": lambda c: Program().push(LINEAR, "x").op(b"R").stop(),
    "new-with-arguments": lambda c: loading(Built(New(LOGISTIC, 1, 2), {})),
    "new-of-a-text": lambda c: Program().push("LinearRegression", ()).op(b"\x81").stop(),
    "new-of-a-function": lambda c: Program().push(name("sklearn.base:clone"), ()).op(b"\x81").stop(),
    "new-of-object": lambda c: loading(New(name("builtins:object"))),
    "new-of-type": lambda c: loading(New(name("builtins:type"), "x", (), {})),
    "new-with-keywords": lambda c: Program().push(LOGISTIC, (), {"C": 1.0}).op(b"\x92").stop(),
    "new-of-an-instance": lambda c: loading(New(New(LINEAR))),
    "result-is-a-class": lambda c: loading(LINEAR),
    "result-is-a-dict": lambda c: loading({"model": 1}),
    "result-is-an-unfitted-estimator": lambda c: loading(
        Built(New(LINEAR), {"fit_intercept": True, "copy_X": True, "_sklearn_version": "1.9.1"})
    ),
    "result-is-a-list-of-models": lambda c: planted([fitted(), LinearRegression()]),
    "result-is-a-mark-value": lambda c: Program().op(b"((").stop(),
    "frame-in-a-frame": lambda c: Program().frame(b"\x95" + struct.pack("<Q", 1) + b"N").stop(),
    "opcode-over-the-end-of-a-frame": lambda c: Program().frame(b"X\x04\x00\x00\x00ab", 7).op(b"cd").stop(),
    "empty-frames": lambda c: b"\x80\x04" + (b"\x95" + bytes(8)) * 1000,
    "integer-that-is-no-number": lambda c: Program(2).op(b"Iabc\n").stop(),
    "long-that-is-no-number": lambda c: Program(2).op(b"L__import__('os')L\n").stop(),
    "float-that-is-no-number": lambda c: Program(2).op(b"Fmodel\n").stop(),
    "text-with-a-bad-escape": lambda c: Program(2).op(b"V\\ud800\\x\n").stop(),
    "string-without-quotes": lambda c: Program(2).op(b"Sos\n").stop(),
    "text-that-is-not-utf-8": lambda c: Program().op(b"\x8c\x02\xff\xfe").stop(),
    "unfinished-line": lambda c: b"\x80\x02cos",
    "set-of-unhashable-members": lambda c: Program().op(b"\x8f(").push([1]).op(b"\x90").stop(),
    "dict-with-an-unhashable-key": lambda c: Program().op(b"}").push([1], 1).op(b"s").stop(),
    "estimator-as-key": lambda c: planted(with_state(class_weight=Raw(b"}" + code_of(New(LINEAR)) + b"Ns"))),
}


def _appender() -> Built:
    """Return an object whose `append` and `add` are `os.system`, by plain state."""
    system = name("os:system")
    return Built(call("types:SimpleNamespace"), {"append": system, "add": system})


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for fires, makers in ((True, FIRING), (False, QUIET)):
        for title, build in makers.items():
            canary = trap.canary(f"stack-{title}")
            yield Hostile(canary.folder.name, "stack", build(canary), canary, fires=fires, status=415 if title == "protocol-6" else 422)

"""A grammar of opcode programs, drawn from a seeded generator: from nonsense to models that are right but for one attribute.

Most begin well and go wrong somewhere, since a program that fails at its first opcode tries nothing.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
from random import Random
from typing import Any

import numpy as np

from registry.flavors.unpickling.names import TABLE
from tests.fuzzing.mutations import FLOATS, NUMBERS, OPCODES

MARK, REDUCE, BUILD, NEWOBJ, TUPLE, STOP = b"(", b"R", b"b", b"\x81", b"t", b"."
DEEPEST = 3
KNOWN = tuple(sorted(TABLE))
HOSTILE = (
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "open"),
    ("builtins", "__import__"), ("builtins", "type"), ("subprocess", "Popen"), ("importlib", "import_module"), ("pickle", "loads"), ("operator", "attrgetter"),
    ("functools", "reduce"), ("types", "FunctionType"), ("copyreg", "_reconstructor"), ("ctypes", "CDLL"), ("socket", "create_connection"),
    ("numpy", "load"), ("numpy", "fromfile"), ("numpy.f2py.crackfortran", "myeval"), ("numpy.testing._private.utils", "runstring"),
    ("joblib.numpy_pickle", "load"), ("joblib", "load"), ("joblib.memory", "Memory"), ("sklearn", "os.system"), ("sklearn.base", "BaseEstimator"),
    ("sklearn.datasets._base", "_fetch_remote"), ("sklearn.linear_model._logistic", "np.load"), ("scipy.stats._distn_infrastructure", "rv_continuous"),
    ("numpy", "ndarray.tofile"), ("__main__", "x"), ("", ""), ("numpy.core.multiarray", "fromfile"), ("sklearn.utils._testing", "os"),
)  # fmt: skip
ARGUMENTS = ("touch {marker}", "open({marker!r}, 'w')", "{marker}")
#: Calls that real files make, to be spoilt.
_SHAPED = tuple(
    pair for pair in KNOWN if pair[1] in ("dtype", "_reconstruct", "scalar", "_frombuffer", "newObj", "Tree", "_mareconstruct", "partial", "encode")
)  # fmt: skip
_ATTRIBUTES = (
    "coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_", "estimators_", "tree_", "_fit_X", "_tree", "shape", "dtype", "order",
    "subclass", "data", "indices", "indptr", "_shape", "nodes", "values", "node_count", "max_depth", "predict", "fit", "__class__", "__dict__", "steps",
    "state", "bit_generator", "key", "pos", "input", "analyzer", "token_pattern", "vocabulary_", "func", "n_jobs", "verbose", "memory", "a b",
)  # fmt: skip


def programs_of(models: list[Any], count: int, seed_number: int, marker: str) -> list[tuple[str, bytes]]:
    """Return `count` programs with what they are; `models` are fitted estimators to be spoilt, `marker` what hostile code would make."""
    parts = tuple((type(model), _parts(model)) for model in models)
    draw = Random(seed_number)
    return [_program(draw, parts, marker) for _ in range(count)]


def _program(draw: Random, parts: tuple[Any, ...], marker: str) -> tuple[str, bytes]:
    """Draw a program of one of six kinds, with its kind."""
    start = b"\x80" + bytes([draw.choice((2, 3, 4, 4, 5))])
    kind = draw.choice(("spoilt", "spoilt", "spoilt", "late", "planted", "value", "calls", "soup"))
    if kind in ("spoilt", "planted"):
        return kind, start + _model(draw, parts, marker, hostile=kind == "planted") + STOP
    if kind == "late":
        return kind, start + _late(draw, parts, marker) + STOP
    if kind == "value":
        return kind, start + _value(draw, marker, 0) + STOP
    if kind == "calls":
        return kind, start + b"".join(_call(draw, marker, 1) + b"0" for _ in range(draw.randint(1, 4))) + b"N."
    return kind, start + b"".join(_scrap(draw, marker) for _ in range(draw.randint(1, 24))) + STOP


def _parts(model: Any) -> dict[str, bytes]:
    """Return what pushes each attribute of a model, in a pickle without a memo; not those that lead back to themselves."""
    parts = {}
    for name, value in model.__getstate__().items():
        with contextlib.suppress(ValueError):
            parts[name] = _pushed(value)
    return parts


def _pushed(value: Any) -> bytes:
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 2)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()[2:-1]


# -- pieces of programs ----------------------------------------------------------------------------------------------------


def _model(draw: Random, parts: tuple[Any, ...], marker: str, *, hostile: bool) -> bytes:
    """Push a model with one to three attributes exchanged, left out or added; or with hostile code in it."""
    cls, state = draw.choice(parts)
    state = dict(state)
    for _ in range(draw.randint(1, 3)):
        name = draw.choice((*state, draw.choice(_ATTRIBUTES)))
        if hostile:
            state[name] = _hostile(draw, marker)
        elif draw.randint(0, 4) == 0:
            state.pop(name, None)
        else:
            state[name] = _attribute(draw, parts, marker)
    items = b"".join(text(name) + code for name, code in state.items())
    return named(cls.__module__, cls.__qualname__) + b")" + NEWOBJ + b"}" + MARK + items + b"u" + BUILD


def _late(draw: Random, parts: tuple[Any, ...], marker: str) -> bytes:
    """Push a model that was built before one of its attributes was."""
    cls, state = draw.choice(parts)
    form = draw.choice(("csr_matrix", "csr_array", "coo_matrix", "csc_matrix"))
    made = named(f"scipy.sparse._{form[:3]}", form) + b")" + NEWOBJ + b"q\xc8"
    state = {**state, draw.choice(tuple(state)): b"h\xc8"}
    items = b"".join(text(name) + code for name, code in state.items())
    model = named(cls.__module__, cls.__qualname__) + b")" + NEWOBJ + b"}" + MARK + items + b"u" + BUILD
    return made + b"0" + model + b"h\xc8" + _sparse_state(draw) + BUILD + b"0"


def _attribute(draw: Random, parts: tuple[Any, ...], marker: str) -> bytes:
    match draw.randint(0, 4):
        case 0:
            return _good_array(draw)
        case 1:
            return _sparse(draw)
        case 2:
            _, other = draw.choice(parts)
            return draw.choice(tuple(other.values()))
        case _:
            return _value(draw, marker, 1)


def _value(draw: Random, marker: str, depth: int) -> bytes:
    """Push one value; containers and calls only down to DEEPEST."""
    return draw.choice(_PLAIN if depth >= DEEPEST else _ALL)(draw, marker, depth)


def _constant(draw: Random, marker: str, depth: int) -> bytes:
    return draw.choice((b"N", b"\x88", b"\x89", b"]", b"}", b")", b"\x8f"))


def _number(draw: Random, marker: str, depth: int) -> bytes:
    if draw.random() < 0.5:
        return whole(draw.choice(NUMBERS))
    return struct.pack(">cd", b"G", draw.choice(FLOATS))


def _text(draw: Random, marker: str, depth: int) -> bytes:
    return text(draw.choice(_ATTRIBUTES))


def _zeros(draw: Random, marker: str, depth: int) -> bytes:
    return b"C" + bytes([length := draw.randint(0, 24)]) + bytes(length)


def _tuple(draw: Random, marker: str, depth: int) -> bytes:
    return _many(draw, marker, depth, MARK, TUPLE)


def _list(draw: Random, marker: str, depth: int) -> bytes:
    return _many(draw, marker, depth, b"](", draw.choice((b"e", b"u")))


def _known(draw: Random, marker: str, depth: int) -> bytes:
    return named(*draw.choice(KNOWN))


def _many(draw: Random, marker: str, depth: int, start: bytes, stop: bytes) -> bytes:
    return start + b"".join(_value(draw, marker, depth + 1) for _ in range(draw.randint(0, 4))) + stop


def _filled(draw: Random, marker: str, depth: int) -> bytes:
    """Push a dict with plain keys, or another thing that is filled as if it were one."""
    start = draw.choice((b"}", b"}", b"}", b"]", b"\x8f", named("collections", "OrderedDict") + b")R"))
    pairs = b"".join(text(draw.choice(_ATTRIBUTES)) + _value(draw, marker, depth + 1) for _ in range(draw.randint(0, 4)))
    return start + MARK + pairs + draw.choice((b"u", b"u", b"u", b"e", b"\x90"))


def _call(draw: Random, marker: str, depth: int) -> bytes:
    """Push what a call gives, then perhaps BUILD it; with known names, wrong numbers of arguments, hostile names now and then."""
    pair = draw.choice(KNOWN if draw.random() < 0.5 else _SHAPED)
    if draw.randint(0, 9) == 0:
        return _hostile(draw, marker)
    first = draw.choice(
        (b"", named("numpy", "ndarray"), named("sklearn.neighbors._kd_tree", "KDTree"), _dtype("f8"), text("O8"), text("V8"))
    )
    arguments = first + b"".join(_value(draw, marker, depth + 1) for _ in range(draw.randint(0, 3)))
    built = _value(draw, marker, depth + 1) + BUILD if draw.random() < 0.5 else b""
    return named(*pair) + MARK + arguments + TUPLE + REDUCE + built


def _object(draw: Random, marker: str, depth: int) -> bytes:
    """Push an object of a known class, made and built in right and wrong ways."""
    pair = draw.choice(KNOWN)
    made = draw.choice((b")" + NEWOBJ, b")" + NEWOBJ, b"N\x85" + NEWOBJ, b")R", b")}\x92"))
    state = _filled(draw, marker, depth + 1) if draw.random() < 0.5 else _value(draw, marker, depth + 1)
    return named(*pair) + made + draw.choice((b"", state + BUILD, state + BUILD, state + BUILD + state + BUILD))


def _hostile(draw: Random, marker: str) -> bytes:
    """Push what code that reaches out would give, by one of several ways to call it."""
    name = named(*draw.choice(HOSTILE))
    argument = text(draw.choice(ARGUMENTS).format(marker=marker))
    ways = (
        name + argument + b"\x85R",
        MARK + name + argument + b"o",
        name + argument + b"\x85" + NEWOBJ,
        name + argument + b"\x85}\x92",
        name,
    )
    return draw.choice(ways)


def _good_array(draw: Random, marker: str = "", depth: int = 0) -> bytes:
    """Push an array that is right, of odd values or an odd shape."""
    kind = draw.choice(("f8", "f8", "i8", "i4", "f4", "u1", "?", "U3", "O"))
    shape = draw.choice(((0,), (1,), (3,), (2,), (1, 3), (3, 1), (2, 3), (5, 5), (), (1, 1, 3), (7,)))
    fill = draw.choice(FLOATS if kind.startswith("f") else (*NUMBERS, 0, 0))
    with np.errstate(all="ignore"):
        array = np.full(shape, np.array(fill, dtype=object)).astype("U3" if kind == "U3" else object)
        return _pushed(array if kind in ("U3", "O") else _narrowed(fill, shape, kind))


def _narrowed(fill: Any, shape: tuple[int, ...], kind: str) -> Any:
    if kind.startswith("f"):
        return np.full(shape, fill, dtype="f8").astype(kind)
    return np.full(shape, fill & (2**63 - 1), dtype="i8").astype(kind)


def _joblib_array(draw: Random, marker: str, depth: int) -> bytes:
    """Push joblib's array, whose header may lie about what follows it."""
    kind = draw.choice(("f8", "i8", "u1", "O", "O8", "U3", "V8", ">f8"))
    shape = draw.choice(((0,), (2,), (2, 2), (2**31,), (2**62, 4), (-1,), (), (1,) * 40, (2.0,), "x"))
    alignment = draw.choice((b"N", b"K\x10", b"J\xff\xff\xff\xff"))
    order = draw.choice(("C", "F", "K", ""))
    state = text("subclass") + named("numpy", draw.choice(("ndarray", "ndarray", "memmap", "matrix", "float64")))
    state += text("shape") + _pushed(shape) + text("order") + text(order) + text("dtype") + _dtype(kind)
    state += text("allow_mmap") + b"\x89" + text("numpy_array_alignment_bytes") + alignment
    head = named("joblib.numpy_pickle", "NumpyArrayWrapper") + b")" + NEWOBJ + b"}" + MARK + state + b"u" + BUILD
    if kind.startswith("O") and depth < DEEPEST:
        inner = _value(draw, marker, depth + 1) if draw.random() < 0.5 else _hostile(draw, marker)
        return head + b"\x80\x04" + inner + STOP
    return head + (b"\x01\xff" if alignment != b"N" else b"") + bytes(draw.choice((0, 2, 16, 32)))


def _dtype(kind: str) -> bytes:
    order = "|" if kind[-1] in "O1" or kind == "O8" else kind[0] if kind[0] in "<>" else "<"
    state = (3, order, None, None, None, -1, -1, 63 if kind.startswith("O") else 0)
    return named("numpy", "dtype") + MARK + text(kind.lstrip("<>")) + b"\x89\x88" + TUPLE + REDUCE + _pushed(state) + BUILD


def _sparse(draw: Random, marker: str = "", depth: int = 0) -> bytes:
    """Push a sparse matrix whose indices lead astray: whoever compares or converts it before it was checked runs native code on it."""
    form = draw.choice(("csr", "csc", "coo", "bsr", "dia"))
    kind = draw.choice(("matrix", "array"))
    return named(f"scipy.sparse._{form}", f"{form}_{kind}") + b")" + NEWOBJ + _sparse_state(draw) + BUILD


def _sparse_state(draw: Random) -> bytes:
    far = draw.choice((0, 3, 2**30, -(2**30)))
    indices = _pushed(np.array([far, 3, 1, 0, -far], dtype="i4"))
    parts = {
        "_shape": _pushed((5, 5)), "indptr": _pushed(np.array([0, far, 1, 2, 3, 5], dtype="i4")), "indices": indices,
        "offsets": indices, "coords": indices + indices + b"\x86", "data": _pushed(np.arange(5.0)),
    }  # fmt: skip
    return b"}" + MARK + b"".join(text(name) + code for name, code in parts.items()) + b"u"


def _deep(draw: Random, marker: str = "", depth: int = 0) -> bytes:
    """Push a value so deep that hashing it overflows the native stack; now and then, since it is long."""
    return b")" + b"\x85" * (300_000 if draw.randint(0, 9) == 0 else 70)


_PLAIN = (_constant, _number, _number, _text, _text, _zeros)
_ALL = (
    *_PLAIN,
    _tuple,
    _tuple,
    _list,
    _filled,
    _known,
    _good_array,
    _good_array,
    _joblib_array,
    _object,
    _call,
    _call,
    _sparse,
    _sparse,
    _deep,
)


def _scrap(draw: Random, marker: str) -> bytes:
    """Give something that may or may not fit what came before."""
    match draw.randint(0, 6):
        case 0:
            return bytes([draw.choice(OPCODES)])
        case 1:
            return b"q" + bytes([draw.randint(0, 5)])
        case 2:
            return b"h" + bytes([draw.randint(0, 5)])
        case 3:
            return named(*draw.choice(KNOWN))
        case 4:
            return _hostile(draw, marker)
        case _:
            return _value(draw, marker, 2)


def named(module: str, qualname: str) -> bytes:
    """Push a name."""
    return text(module) + text(qualname) + b"\x93"


def text(value: str) -> bytes:
    """Push a text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def whole(number: int) -> bytes:
    """Push a whole number."""
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)

"""NumPy's part of a pickle: dtypes, arrays, scalars and random states, and the arrays that joblib writes into the middle of it.

Every dtype, shape and length is computed anew and compared with what the artifact says. Must never allocate by a declared
shape, and never give NumPy bytes that it would take for objects.

Sources: `ndarray.__reduce__`, `dtype.__reduce__` and `numpy.random._pickle` of NumPy 1 and 2; `NumpyArrayWrapper` of joblib 0.11 to 1.6.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

import numpy as np

from registry import frames
from registry.flavors.refusals import Refused
from registry.flavors.unpickling.tokens import Argument, Name, Pending

Dtype = np.dtype[Any]

MOST_DIMENSIONS = 32
MOST_FIELDS = 64
LARGEST_ITEM_BYTES = 1 << 20
_STATE_SIZES, _STATE_VERSIONS = (7, 8, 9), (3, 4)
_DATES = ("M", "m")
_CODE = re.compile(r"[?biufcSUV][0-9]{0,7}|O8?", re.ASCII)
_ORDERS = frozenset({"<", ">", "=", "|"})
_JOBLIB_KEYS = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"})
_WIDTH_FOR_SCALARS = 1 << 16


def make_dtype(_reading: Any, arguments: tuple[Any, ...]) -> Pending:
    """Begin a dtype: `dtype(code, align, copy)`; its state says the rest."""
    code = arguments[0] if arguments else None
    if type(code) is str and code.startswith(_DATES):
        raise Refused(
            "dates-not-allowed",
            "The model was fitted on dates. Turn them into numbers or texts before you fit it, and before you send rows.",
        )
    if type(code) is not str or _CODE.fullmatch(code) is None or not all(type(flag) in (bool, int) for flag in arguments[1:]):
        raise _not_plain("a data type of NumPy that no model needs")
    return Pending(lambda _reading, state: _finish_dtype(code, state))


def _finish_dtype(code: str, state: Any) -> Dtype:
    """Return the dtype that code and state describe; the state is (version, order, subarray, names, fields, size, alignment[, flags[, metadata]])."""
    if type(state) is not tuple or len(state) not in _STATE_SIZES:
        raise _not_plain("a data type of NumPy with an odd state")
    version, order, base, names, fields, size, *_ = state
    if type(version) is not int or version not in _STATE_VERSIONS or base is not None or not _is_text_of(order, _ORDERS):
        raise _not_plain("a data type of NumPy with an odd state")
    if names is not None or fields is not None:
        dtype = _structured(names, fields, size)
    elif code.startswith("V"):
        raise _not_plain("a data type of NumPy without a meaning")
    else:
        dtype = np.dtype(code if order == "|" else order + code)
    if dtype.itemsize > LARGEST_ITEM_BYTES or type(size) is not int or size not in (-1, dtype.itemsize):
        raise _not_plain("a data type of NumPy whose size is wrong")
    return dtype


def _structured(names: Any, fields: Any, size: Any) -> Dtype:
    plain = type(names) is tuple and type(fields) is dict and 0 < len(names) <= MOST_FIELDS and all(type(name) is str for name in names)
    if not plain or len(set(names)) != len(names) or set(names) != fields.keys():
        raise _not_plain("a data type of NumPy with odd fields")
    for name in names:
        entry = fields[name]
        if type(entry) is not tuple or len(entry) != 2 or not _is_field(*entry):  # noqa: PLR2004
            raise _not_plain("a data type of NumPy with odd fields")
    if type(size) is not int or not 0 < size <= LARGEST_ITEM_BYTES:
        raise _not_plain("a data type of NumPy whose size is wrong")
    parts = [fields[name] for name in names]
    if any(offset + dtype.itemsize > size for dtype, offset in parts):  # NumPy adds these in 32 bits
        raise _not_plain("a data type of NumPy whose fields lie outside of it")
    return np.dtype(
        {"names": list(names), "formats": [part[0] for part in parts], "offsets": [part[1] for part in parts], "itemsize": size}
    )


def _is_field(dtype: Any, offset: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "iufSU" and type(offset) is int and offset >= 0


def make_array(_reading: Any, arguments: tuple[Any, ...]) -> Pending:
    """Begin an array: `_reconstruct(ndarray, (0,), b"b")`."""
    if not arguments or not _stands_for(arguments[0], np.ndarray):
        raise _not_plain("an array of a kind other than numpy.ndarray")
    return Pending(lambda _reading, state: _finish_array(state))


def _finish_array(state: Any) -> frames.type_of_array:
    """Return the array of ([version,] shape, dtype, fortran, bytes or list)."""
    if type(state) is not tuple or len(state) not in (4, 5):
        raise _not_plain("an array with an odd state")
    shape, dtype, fortran, raw = state[-4:]
    return _native(array_of(shape, dtype, raw, _order_of(fortran)))


def array_of(shape: Any, dtype: Any, raw: Any, order: str) -> frames.type_of_array:
    """Return a writeable array of `shape` over a copy of `raw`: bytes, or a list of the objects of an object array. Raises Refused."""
    count = _count(shape)
    if not isinstance(dtype, np.dtype):
        raise _not_plain("an array without a data type")
    if dtype.hasobject:
        if type(raw) is not list or len(raw) != count or any(_may_not_stand_in_an_array(one) for one in raw):
            raise _not_plain("an array of objects that no fitting makes")
        objects = np.fromiter(raw, dtype=object, count=count).reshape(shape)  # the list is in C order whatever the layout is
        return np.array(objects, order=order, copy=None)  # type: ignore[call-overload, no-any-return]
    if type(raw) not in (bytes, bytearray) or len(raw) != count * dtype.itemsize:
        raise _not_plain("an array whose length is wrong")
    return _over_buffer(np.frombuffer(raw, np.uint8).copy(), dtype, shape, order)


def _may_not_stand_in_an_array(value: Any) -> bool:
    return isinstance(value, Name | Pending) or (isinstance(value, np.ndarray) and value.dtype.hasobject)


def make_array_of_buffer(_reading: Any, arguments: tuple[Any, ...]) -> frames.type_of_array:
    """Return an array: `_frombuffer(bytes, dtype, shape, order)`, as NumPy writes it with protocol 5."""
    if len(arguments) not in (4, 5) or not (arguments[3] is None or _is_text_of(arguments[3], ("C", "F", "K"))):
        raise _not_plain("an array with odd arguments")
    raw, dtype, shape, order = arguments[:4]
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        raise _not_plain("an array of objects over plain bytes")
    return array_of(shape, dtype, raw, order if order in ("C", "F") else "C")


def make_scalar(_reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a NumPy scalar: `scalar(dtype, bytes)`."""
    if len(arguments) != 2 or not isinstance(arguments[0], np.dtype) or type(arguments[1]) is not bytes:  # noqa: PLR2004
        raise _not_plain("a number of NumPy with odd arguments")
    dtype, raw = arguments
    if dtype.hasobject or dtype.fields is not None or len(raw) != dtype.itemsize or not 0 < len(raw) <= _WIDTH_FOR_SCALARS:
        raise _not_plain("a number of NumPy whose length is wrong")
    return np.frombuffer(raw, dtype)[0]


def make_masked_array(_reading: Any, arguments: tuple[Any, ...]) -> Pending:
    """Begin a masked array, as the results of a search hold: `_mareconstruct(MaskedArray, ndarray, (0,), b"b")`."""
    if len(arguments) != 4 or not _stands_for(arguments[0], np.ma.MaskedArray) or not _stands_for(arguments[1], np.ndarray):  # noqa: PLR2004
        raise _not_plain("a masked array with odd arguments")
    return Pending(lambda _reading, state: _finish_masked_array(state))


def _finish_masked_array(state: Any) -> frames.type_of_array:
    """Return the masked array of (version, shape, dtype, fortran, bytes or list, mask's bytes, fill value); the fill value is NumPy's default."""
    if type(state) is not tuple or len(state) != 7:  # noqa: PLR2004
        raise _not_plain("a masked array with an odd state")
    _, shape, dtype, fortran, raw, mask, _ = state
    order = _order_of(fortran)
    return np.ma.MaskedArray(array_of(shape, dtype, raw, order), array_of(shape, np.dtype(bool), mask, order))


def finish_joblib_array(reading: Any, state: Any) -> frames.type_of_array:
    """Return the array whose bytes follow joblib's NumpyArrayWrapper in the stream. Raises Refused, Damaged."""
    if type(state) is not dict or not state.keys() <= _JOBLIB_KEYS or not state.keys() >= {"shape", "order", "dtype", "subclass"}:
        raise _not_plain("an array of joblib with an odd state")
    shape, order, dtype = state["shape"], state["order"], state["dtype"]
    if not _is_text_of(order, ("C", "F")) or not isinstance(dtype, np.dtype) or not _stands_for(state["subclass"], np.ndarray, np.memmap):
        raise _not_plain("an array of joblib with an odd state")
    count = _count(shape)
    if dtype.hasobject:
        array = reading.nested()
        if type(array) is not np.ndarray or array.shape != shape or not array.dtype.hasobject:
            raise _not_plain("an array of objects that isn't what joblib announced")
        return array
    if state.get("numpy_array_alignment_bytes") is not None:
        reading.source.take(reading.source.take(1)[0])
    return _native(_over_buffer(reading.source.take_array(count * dtype.itemsize), dtype, shape, order))


def _native(array: frames.type_of_array) -> frames.type_of_array:
    return array if array.dtype.isnative else array.byteswap().view(array.dtype.newbyteorder("="))


def _over_buffer(buffer: frames.type_of_array, dtype: Dtype, shape: tuple[int, ...], order: str) -> frames.type_of_array:
    if not dtype.itemsize:
        raise _not_plain("an array whose elements have no size")
    if not buffer.size:
        return np.empty(shape, dtype, order)  # type: ignore[call-overload, no-any-return]
    if dtype.kind == "b" and buffer.max() > 1:  # compiled code counts on 0 and 1
        raise _not_plain("an array of true and false that has other values")
    return buffer.view(dtype).reshape(shape, order=order)  # type: ignore[call-overload, no-any-return]


def _count(shape: Any) -> int:
    """Return how many elements an array of `shape` has, as an integer that can't overflow. Raises Refused."""
    if type(shape) is not tuple or len(shape) > MOST_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise _not_plain("an array with an odd shape")
    return math.prod(shape)


def _order_of(fortran: Any) -> str:
    """Return an array's order by the flag in its state. Raises Refused."""
    if type(fortran) not in (bool, int):
        raise _not_plain("an array with an odd state")
    return "F" if fortran else "C"


def _is_text_of(value: Any, allowed: Collection[str]) -> bool:
    """Tell whether a value is one of some texts, without asking the value: comparing and hashing run its own, perhaps native code."""
    return type(value) is str and value in allowed


def _stands_for(token: Any, *classes: type) -> bool:
    return type(token) is Argument and token.cls in classes


# -- random states ---------------------------------------------------------------------------------------------------

_WORDS = 624
_MT19937, _PCG64 = np.random.MT19937, np.random.PCG64


def make_bit_generator(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a bit generator: `__bit_generator_ctor(class or its name)`."""
    named = arguments[0] if len(arguments) == 1 else None
    for cls in (_MT19937, _PCG64):
        if _is_text_of(named, (cls.__name__,)) or _stands_for(named, cls):
            return reading.create(cls(0), _restore_bit_generator, must_be_built=False)
    raise _not_plain("a random generator other than MT19937 and PCG64; set random_state to a number")


def _restore_bit_generator(_reading: Any, generator: Any, state: Any) -> None:
    generator.state = _checked_state(type(generator), state[0] if type(state) is tuple and state else state)


def _checked_state(cls: type, state: Any) -> dict[str, Any]:
    if type(state) is not dict or not _is_text_of(state.get("bit_generator"), (cls.__name__,)) or type(state.get("state")) is not dict:
        raise _not_plain("a random generator with an odd state")
    inner = state["state"]
    if cls is _MT19937:
        key, at = inner.get("key"), inner.get("pos")
        if (
            not isinstance(key, np.ndarray)
            or key.shape != (_WORDS,)
            or key.dtype != np.uint32
            or type(at) is not int
            or not 0 <= at <= _WORDS
        ):
            raise _not_plain("a random generator with an odd state")
        return {"bit_generator": "MT19937", "state": {"key": key, "pos": at}}
    numbers = {name: inner.get(name) for name in ("state", "inc")}
    rest = {name: state.get(name) for name in ("has_uint32", "uinteger")}
    if not all(type(one) is int and 0 <= one < 2**128 for one in numbers.values()) or not all(
        type(one) is int and 0 <= one < 2**32 for one in rest.values()
    ):
        raise _not_plain("a random generator with an odd state")
    return {"bit_generator": "PCG64", "state": numbers, **rest}


def make_random_state(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a RandomState: `__randomstate_ctor(bit generator or its name)`."""
    generator = arguments[0] if arguments else "MT19937"
    if type(generator) is not _MT19937:
        generator = _MT19937(0)
    return reading.create(np.random.RandomState(generator), _restore_random_state, must_be_built=False)


def _restore_random_state(_reading: Any, random: Any, state: Any) -> None:
    words = _checked_state(_MT19937, state)["state"]
    has, gauss = state.get("has_gauss", 0), state.get("gauss", 0.0)
    if type(has) not in (int, bool) or has not in (0, 1) or type(gauss) is not float:
        raise _not_plain("a random generator with an odd state")
    random.set_state(("MT19937", words["key"], words["pos"], int(has), gauss))


def make_generator(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a Generator: `__generator_ctor(bit generator)`; NumPy 1 gave its name here, and its state after."""
    generator = arguments[0] if arguments else None
    if type(generator) is str:
        generator = make_bit_generator(reading, (generator,))
    if not isinstance(generator, _MT19937 | _PCG64):
        raise _not_plain("a random generator other than MT19937 and PCG64; set random_state to a number")
    return reading.create(np.random.Generator(generator), _restore_generator, must_be_built=False)


def _restore_generator(reading: Any, random: Any, state: Any) -> None:
    _restore_bit_generator(reading, random.bit_generator, state)


def make_seed_sequence(reading: Any, _arguments: tuple[Any, ...]) -> Any:
    """Return a seed sequence of its own: it matters to nothing but new generators, which a fitted model doesn't make."""
    return reading.create(np.random.SeedSequence(0), lambda *_: None, must_be_built=False)


def _not_plain(what: str) -> Refused:
    return Refused("broken-array", f"The artifact holds {what}. Dump the fitted estimator anew with joblib.dump and publish that.")

"""How allowed objects come to be: our constructors for what REDUCE may call, and what BUILD may do to each class.

Every argument and every key of a state is checked before anything foreign sees it. Must never set what hides a method,
and never hand unchecked state to compiled code.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import scipy.sparse
from sklearn import __version__ as sklearn_version
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.tree._tree import Tree
from sklearn.utils.validation import check_array

from registry.flavors.refusals import Refused
from registry.flavors.soundness import neighbours
from registry.flavors.unpickling import arrays
from registry.flavors.unpickling.stack import require_keys
from registry.flavors.unpickling.tokens import Argument, Call, New, Pending, Restore

VERSION_KEY = "_sklearn_version"
MOST_OUTPUTS = 10_000
MOST_CLASSES = 10_000_000
MOST_COLUMNS = 2**31 - 1
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}", re.ASCII)
_SCALARS = (str, int, float, bool, type(None))
_TREE_KEYS = frozenset({"max_depth", "node_count", "nodes", "values"})


def make_new(reading: Any, named: New, arguments: tuple[Any, ...]) -> Any:
    """Return an empty object of an allowed class, or the Pending that stands for joblib's array. Raises Refused for arguments."""
    cls = named.cls
    if named.restore is joblib_array:
        return Pending(arrays.finish_joblib_array)
    if issubclass(cls, tuple):
        return _make_record(cls, arguments)
    if arguments:
        raise _odd("object-not-allowed", f"an object of {named} that is made with arguments", name=str(named))
    empty = dict.__new__(cls) if issubclass(cls, dict) else object.__new__(cls)
    return reading.create(empty, named.restore, must_be_built=False)


def joblib_array(*_: Any) -> None:
    """Mark the class that stands for an array in joblib's files; see `arrays.finish_joblib_array`."""


def _make_record(cls: Any, arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != len(cls._fields):
        raise _odd("object-not-allowed", f"a record of {cls.__name__} with a wrong number of fields")
    return tuple.__new__(cls, arguments)


# -- BUILD ---------------------------------------------------------------------------------------------------------------


def restorer_of(cls: type) -> Restore:
    """Return what gives objects of an allowed class their state."""
    if cls is IsotonicRegression:
        return _restore_isotonic
    if cls in (scipy.sparse.coo_matrix, scipy.sparse.coo_array):
        return _restore_coo
    return restore


def restore(reading: Any, target: Any, state: Any) -> None:
    """Set an object's attributes: a dict with plain names as keys, none of which hides a method. Raises Refused."""
    cls: Any = type(target)
    if type(state) is not dict:
        raise _odd("state-not-allowed", f"an odd state of {cls.__name__}")
    if VERSION_KEY in state:
        _note_version(reading, state)
    for key in state:
        if type(key) is not str or not key.isidentifier() or key.startswith("__"):
            raise _odd("state-not-allowed", f"a state of {cls.__name__} with an odd name in it")
    if not (hidden := _methods(cls)).isdisjoint(state):
        name = min(hidden.intersection(state))
        raise _odd("state-not-allowed", f"a state of {cls.__name__} that replaces its method {name}", name=name)
    target.__dict__.update(state)
    target.__dict__.pop(VERSION_KEY, None)


@functools.cache
def _methods(cls: Any) -> frozenset[str]:
    """Return the names that an attribute must not have: methods and properties of the class."""
    names = {name for owner in cls.__mro__ for name in vars(owner)}
    found = set()
    for name in names:
        value = inspect.getattr_static(cls, name)
        if hasattr(value, "__get__") and not isinstance(value, functools.cached_property):
            found.add(name)
    return frozenset(found)


def _note_version(reading: Any, state: dict[str, Any]) -> None:
    version = state[VERSION_KEY]
    if type(version) is not str or _VERSION.fullmatch(version) is None:
        raise _odd("state-not-allowed", "a version of scikit-learn that isn't one")
    if reading.recorded.get("scikit-learn", sklearn_version) == sklearn_version:
        reading.recorded["scikit-learn"] = version


def _restore_isotonic(reading: Any, target: Any, state: Any) -> None:
    restore(reading, target, state)
    x, y = (target.__dict__.get(name) for name in ("X_thresholds_", "y_thresholds_"))
    if x is None or y is None:
        return
    if not all(type(one) is np.ndarray and one.ndim == 1 and one.dtype.kind == "f" and one.size for one in (x, y)) or len(x) != len(y):
        raise _odd("state-not-allowed", "an isotonic regression with odd thresholds")
    if type(target.__dict__.get("out_of_bounds")) is not str:
        raise _odd("state-not-allowed", "an isotonic regression that doesn't say what lies outside of it")
    target._build_f(x, y)  # noqa: SLF001 - its own __setstate__ does this


def _restore_coo(reading: Any, target: Any, state: Any) -> None:
    if type(state) is dict and "row" in state and "col" in state and "coords" not in state:  # before SciPy 1.13
        state = {**state, "coords": (state["row"], state["col"])}
        del state["row"], state["col"]
    restore(reading, target, state)


def restorer_of_extra(cls: Any) -> Restore:
    """Return what gives objects of an operator's own class their state: its own `__setstate__`, where it has one."""
    own = inspect.getattr_static(cls, "__setstate__", None)
    if own is None or own is inspect.getattr_static(BaseEstimator, "__setstate__"):
        return restore
    return lambda _reading, target, state: target.__setstate__(state)


# -- CALL: Python and collections --------------------------------------------------------------------------------------------


def make_encoded(_reading: Any, arguments: tuple[Any, ...]) -> bytes:
    """Return bytes: `encode(text, "latin1")`, as protocol 2 writes them."""
    if len(arguments) != 2 or type(arguments[0]) is not str or type(arguments[1]) is not str or arguments[1] not in ("latin1", "latin-1"):  # noqa: PLR2004
        raise _odd("call-not-allowed", "text in an odd encoding", name="_codecs.encode")
    return arguments[0].encode("latin1")


def make_bytes(_reading: Any, arguments: tuple[Any, ...]) -> bytes:
    """Return no bytes: `bytes()`, as protocol 2 writes them."""
    if arguments:
        raise _odd("call-not-allowed", "bytes that are made with arguments", name="builtins.bytes")
    return b""


def make_set(_reading: Any, arguments: tuple[Any, ...]) -> set[Any]:
    """Return a set of scalars: `set(list)`, as protocols below 4 write it."""
    return set(_members(arguments))


def make_frozenset(_reading: Any, arguments: tuple[Any, ...]) -> frozenset[Any]:
    """Return a frozen set of scalars."""
    return frozenset(_members(arguments))


def _members(arguments: tuple[Any, ...]) -> list[Any]:
    if len(arguments) != 1 or type(arguments[0]) is not list or not all(type(one) in _SCALARS for one in arguments[0]):
        raise _odd("call-not-allowed", "a set of more than plain values")
    require_keys(arguments[0])
    return arguments[0]


def make_slice(_reading: Any, arguments: tuple[Any, ...]) -> slice:
    """Return a slice of plain values."""
    if len(arguments) != 3 or not all(type(one) in (int, str, type(None)) for one in arguments):  # noqa: PLR2004
        raise _odd("call-not-allowed", "an odd slice")
    return slice(*arguments)


def make_range(_reading: Any, arguments: tuple[Any, ...]) -> range:
    """Return a range of whole numbers."""
    if len(arguments) != 3 or not all(type(one) is int for one in arguments) or arguments[2] == 0:  # noqa: PLR2004
        raise _odd("call-not-allowed", "an odd range")
    return range(*arguments)


def make_ordered_dict(_reading: Any, arguments: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    """Return an empty OrderedDict, to be filled by SETITEMS."""
    if arguments:
        raise _odd("call-not-allowed", "an OrderedDict that is made with arguments")
    return OrderedDict()


def make_default_dict(_reading: Any, arguments: tuple[Any, ...]) -> defaultdict[Any, Any]:
    """Return an empty defaultdict of a plain type."""
    factory = arguments[0] if len(arguments) == 1 else None
    if type(factory) is Argument and factory.cls in (dict, list, set):
        return defaultdict(factory.cls)
    if any(factory is kind for kind in (int, float, str, bool)):
        return defaultdict(factory)
    raise _odd("call-not-allowed", "a defaultdict of something that isn't a plain type")


def make_partial(_reading: Any, arguments: tuple[Any, ...]) -> Pending:
    """Begin a partial of `check_array`, which histogram gradient boosting with categories keeps; of nothing else."""
    if len(arguments) != 1 or arguments[0] is not check_array:
        raise Refused(
            "callable-not-allowed",
            "The artifact holds functools.partial, which could call anything. For a FunctionTransformer use a NumPy function such as "
            "numpy.log1p, or prepare the rows before you send them.",
            name="functools.partial",
        )
    return Pending(_finish_partial)


def _finish_partial(_reading: Any, state: Any) -> Any:
    if type(state) is not tuple or len(state) != 4 or state[0] is not check_array:  # noqa: PLR2004
        raise _odd("state-not-allowed", "an odd functools.partial")
    _, arguments, keywords, rest = state
    plain = type(arguments) is tuple and type(keywords) is dict and (rest is None or type(rest) is dict)
    if not plain or arguments or rest or not all(type(key) is str and _is_plain(value) for key, value in keywords.items()):
        raise _odd("state-not-allowed", "an odd functools.partial")
    return functools.partial(check_array, **keywords)


def _is_plain(value: Any) -> bool:
    if type(value) is list:
        return all(_is_plain(one) for one in value)
    return type(value) in _SCALARS or (isinstance(value, type) and issubclass(value, np.generic))


# -- CALL: scikit-learn's compiled parts ---------------------------------------------------------------------------------------


def make_of_numbers(cls: type, _reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a compiled loss, made of at most three numbers."""
    if len(arguments) > 3 or not all(type(one) in (int, float) or isinstance(one, np.floating) for one in arguments):  # noqa: PLR2004
        raise _odd("call-not-allowed", f"an odd {cls.__name__}")
    return cls(*(float(one) for one in arguments))


def make_stateless(cls: type, reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a compiled loss that Cython pickles by a function of its own: `(class, checksum, state)`; it has no state."""
    token = arguments[0] if arguments else None
    if type(token) is not Call or token.qualname != cls.__name__:
        raise _odd("call-not-allowed", "an odd loss")
    return reading.create(cls(), lambda *_: None, must_be_built=False)


def make_tree(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return an empty decision tree: `Tree(columns, classes per output, outputs)`; its state must follow."""
    if len(arguments) != 3:  # noqa: PLR2004
        raise _odd("broken-tree", "a decision tree with odd arguments")
    columns, classes, outputs = arguments
    if not (_is_count(columns, MOST_COLUMNS) and _is_count(outputs, MOST_OUTPUTS)):
        raise _odd("broken-tree", "a decision tree with odd arguments")
    if type(classes) is not np.ndarray or classes.shape != (outputs,) or classes.dtype.kind not in "iu":
        raise _odd("broken-tree", "a decision tree whose classes don't fit its outputs")
    if not ((classes >= 1) & (classes <= MOST_CLASSES)).all():
        raise _odd("broken-tree", "a decision tree whose classes don't fit its outputs")
    return reading.create(Tree(int(columns), classes.astype(np.intp), int(outputs)), _restore_tree, must_be_built=True)


def _restore_tree(_reading: Any, tree: Any, state: Any) -> None:
    """Set a tree's nodes; whether they lead anywhere is `soundness`'s to judge. Raises Refused."""
    if type(state) is not dict or not state.keys() >= _TREE_KEYS:
        raise _odd("broken-tree", "a decision tree without nodes")
    nodes, values = state["nodes"], state["values"]
    plain = type(nodes) is np.ndarray and nodes.ndim == 1 and nodes.dtype.fields is not None and type(values) is np.ndarray
    if not plain or values.shape[:1] != nodes.shape or values.dtype != np.float64 or not values.flags.c_contiguous:
        raise _odd("broken-tree", "a decision tree whose nodes and values don't fit")
    if not _is_count(state["node_count"], len(nodes)) or state["node_count"] != len(nodes) or not _is_count(state["max_depth"], len(nodes)):
        raise _odd("broken-tree", "a decision tree whose nodes and values don't fit")
    try:
        tree.__setstate__({name: state[name] for name in _TREE_KEYS})
    except ValueError as error:
        raise Refused(
            "other-scikit-learn",
            f"The artifact's decision trees were written by another scikit-learn and can't be read by {sklearn_version}. "
            "Fit and dump the model with the server's version.",
        ) from error


def make_metric(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return an empty distance metric: `newObj(class)`; its state must follow."""
    cls = _class_of(arguments, "sklearn.metrics._dist_metrics")
    return reading.create(cls.__new__(cls), _restore_metric, must_be_built=True)


def _restore_metric(_reading: Any, metric: Any, state: Any) -> None:
    metric.__setstate__(neighbours.rebuilt_metric_state(type(metric), state))


def make_neighbour_tree(reading: Any, arguments: tuple[Any, ...]) -> Any:
    """Return an empty KDTree or BallTree: `newObj(class)`; its state must follow."""
    cls = _class_of(arguments, "sklearn.neighbors.")
    return reading.create(cls.__new__(cls), _restore_neighbour_tree, must_be_built=True)


def _restore_neighbour_tree(_reading: Any, tree: Any, state: Any) -> None:
    tree.__setstate__(neighbours.rebuilt_tree(type(tree), state))


def _class_of(arguments: tuple[Any, ...], module: str) -> Any:
    token = arguments[0] if len(arguments) == 1 else None
    if type(token) is not Argument or not token.module.startswith(module):
        raise _odd("call-not-allowed", "a part of a neighbours model that isn't one")
    return token.cls


def _is_count(value: Any, highest: int) -> bool:
    return (type(value) is int or isinstance(value, np.integer)) and 0 <= int(value) <= highest


def _odd(rule: str, what: str, **found: Any) -> Refused:
    return Refused(rule, f"The artifact holds {what}. Dump the fitted estimator anew with joblib.dump and publish that.", **found)

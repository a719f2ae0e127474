"""What each kind of node in a skops file may become: skops walks and audits the tree, our own constructors build from it.

Replaces skops' table of nodes while one file is read: kinds that fitted models don't need are gone from it, and the others
go through the table of names that pickles go through. Imports skops, an optional extra; must never import what a file names.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse
from skops.io import _audit, _general, _numpy, _protocol, _scipy, _sklearn, _utils

from registry.flavors.npy_files import array_of, object_array, odd, sparse_arguments
from registry.flavors.unpickling import advice, arrays, building, names
from registry.flavors.unpickling.stack import require_key
from registry.flavors.unpickling.tokens import Argument, Call, New, Restore
from registry.flavors.zip_files import open_archive, read_member

_SCALARS = (str, int, float, bool, type(None))
_KEYS = (str, int, float, bool)
_SCIPY_FORMS = frozenset({"csr", "csc", "coo", "bsr", "dia"})


@dataclass(slots=True)
class Reading:
    """One file being read: the objects that it created, inner before outer, the versions found in it, and the bytes it may still unpack to."""

    bytes_left: int = 0
    created: list[Any] = field(default_factory=list)
    recorded: dict[str, str] = field(default_factory=dict)
    _restores: dict[int, tuple[Any, Restore]] = field(default_factory=dict)

    def create(self, value: Any, restore: Restore, *, must_be_built: bool) -> Any:  # noqa: ARG002 - the unpickler's own interface
        """Note an object that may be given a state once; return it."""
        self._restores[id(value)] = (value, restore)
        return value

    def finish(self, value: Any, state: Any) -> Any:
        """Give an object its state, note it as created, and return it."""
        _, restore = self._restores[id(value)]
        restore(self, value, state)  # type: ignore[arg-type]
        self.created.append(value)
        return value


@dataclass(frozen=True)
class Context(_utils.LoadContext):  # type: ignore[misc]
    """What skops hands to each node, with our own reading."""

    reading: Reading = field(default_factory=Reading)


def build(schema: dict[str, Any], source: Any, trusted: list[str], bytes_left: int) -> tuple[Any, Reading]:
    """Return what a checked schema stands for; `source.read(name)` gives members. Raises Refused, and whatever skops raises."""
    context = Context(src=source, protocol=_protocol.PROTOCOL, reading=Reading(bytes_left))
    with _only_our_nodes():
        tree = _audit.get_tree(schema, context, trusted=trusted)
        if unsafe := tree.get_unsafe_set() - set(trusted):
            raise advice.refuse_name(*min(unsafe).rsplit(".", 1))
        _audit.audit_tree(tree, trusted=trusted)
        value = tree.construct()
    return value, context.reading


@contextmanager
def _only_our_nodes() -> Iterator[None]:
    table = _audit.NODE_TYPE_MAPPING
    theirs = dict(table)
    table.clear()
    table.update({(name, _protocol.PROTOCOL): node for name, node in NODES.items()})
    try:
        yield
    finally:
        table.clear()
        table.update(theirs)


def _named(node: Any) -> Any:
    return names.find(node.module_name, node.class_name, node.reading.recorded)


class _Read:
    """Keeps the reading of the file beside what skops keeps."""

    def __init__(self, state: dict[str, Any], load_context: Any, trusted: Any = None, **options: Any) -> None:
        self.reading: Reading = load_context.reading
        super().__init__(state, load_context, trusted, **options)  # type: ignore[call-arg]


class ObjectNode(_Read, _general.ObjectNode):  # type: ignore[misc]
    """An object of an allowed class, empty at first, then given its checked state."""

    def _construct(self) -> Any:
        token = _named(self)
        state = {} if self.attrs is None else self.attrs.construct()
        if type(token) is New and token.restore is not building.joblib_array:
            return self.reading.finish(building.make_new(self.reading, token, ()), {} if state is None else state)
        if type(token) is Argument:
            make = building.make_metric if token.module.startswith("sklearn.metrics.") else building.make_neighbour_tree
            return self.reading.finish(make(self.reading, (token,)), state)
        raise odd("object-not-allowed", f"an object of {token} that isn't one", name=str(token)[:200])


class TreeNode(_Read, _sklearn.TreeNode):  # type: ignore[misc]
    """A decision tree, through the unpickler's own checks."""

    def _construct(self) -> Any:
        arguments, state = self.args.construct(), self.attrs.construct()
        if type(arguments) is not tuple:
            raise odd("broken-tree", "a decision tree with odd arguments")
        return self.reading.finish(building.make_tree(self.reading, arguments), state)


class LossNode(_Read, _sklearn.LossNode):  # type: ignore[misc]
    """A compiled loss, made of numbers alone."""

    def _construct(self) -> Any:
        token, arguments = _named(self), self.args.construct()
        if self.attrs.construct() or type(arguments) is not tuple:
            raise odd("call-not-allowed", f"an odd {self.class_name[:60]}")
        if type(token) is not Call or not token.module.startswith(("sklearn._loss.", "sklearn.linear_model._sgd_fast")):
            raise odd("call-not-allowed", "a loss that isn't one", name=str(token)[:200])
        return token.make(self.reading, arguments)  # type: ignore[arg-type]


class DictNode(_Read, _general.DictNode):  # type: ignore[misc]
    """A dict, an OrderedDict or scikit-learn's Bunch, with plain keys."""

    def _construct(self) -> Any:
        kinds = self.key_types.construct()
        if type(kinds) is not list or len(kinds) != len(self.content):
            raise odd("state-not-allowed", "a dict whose keys have no types")
        target = self._empty()
        for kind, (key, node) in zip(kinds, self.content.items(), strict=True):
            plain = _key_of(kind, key)
            require_key(plain)
            target[plain] = node.construct()
        return target

    def _empty(self) -> Any:
        named = (self.module_name, self.class_name)
        if named in (("builtins", "dict"), ("collections", "OrderedDict")):
            return {} if named[0] == "builtins" else OrderedDict()
        token = _named(self)
        if type(token) is not New or not issubclass(token.cls, dict):
            raise odd("object-not-allowed", f"a dict of the class {token}", name=str(token)[:200])
        bunch = building.make_new(self.reading, token, ())
        self.reading.created.append(bunch)
        return bunch


class ListNode(_Read, _general.ListNode):  # type: ignore[misc]
    """A plain list."""

    def _construct(self) -> Any:
        _require_class(self, "list")
        return [item.construct() for item in self.content]


class SetNode(_Read, _general.SetNode):  # type: ignore[misc]
    """A set of plain values."""

    def _construct(self) -> Any:
        _require_class(self, "set")
        return building.make_set(self.reading, ([item.construct() for item in self.content],))


class TupleNode(_Read, _general.TupleNode):  # type: ignore[misc]
    """A tuple, or one of the few records that estimators keep."""

    def _construct(self) -> Any:
        items = tuple(item.construct() for item in self.content)
        if (self.module_name, self.class_name) == ("builtins", "tuple"):
            return items
        token = _named(self)
        if type(token) is not New or not issubclass(token.cls, tuple):
            raise odd("object-not-allowed", f"a record of the class {token}", name=str(token)[:200])
        return building.make_new(self.reading, token, items)


class SliceNode(_Read, _general.SliceNode):  # type: ignore[misc]
    """A slice of plain values."""

    def _construct(self) -> Any:
        return building.make_slice(self.reading, (self.start, self.stop, self.step))


class JsonNode(_Read, _general.JsonNode):  # type: ignore[misc]
    """A plain value."""

    def _construct(self) -> Any:
        value = json.loads(self.content)
        if type(value) not in _SCALARS:
            raise odd("state-not-allowed", "a plain value that isn't one")
        return value


class _ValueNode(_Read):
    """A type or a function that is handed out as it is, and never called while the file is read."""

    def _construct(self) -> Any:
        value = _named(self)
        if isinstance(value, (New, Call, Argument)):
            raise advice.refuse_name(value.module, value.qualname)
        return value


class TypeNode(_ValueNode, _general.TypeNode):  # type: ignore[misc]
    """A plain type."""


class FunctionNode(_ValueNode, _general.FunctionNode):  # type: ignore[misc]
    """A function that only computes."""


class PartialNode(_Read, _general.PartialNode):  # type: ignore[misc]
    """A partial of scikit-learn's check_array, which one estimator keeps; of nothing else."""

    def _construct(self) -> Any:
        func, args, kwds, namespace = (node.construct() for node in (self.func, self.args, self.kwds, self.namespace))
        pending = building.make_partial(self.reading, (func,))
        return pending.finish(self.reading, (func, args, kwds, namespace or None))  # type: ignore[arg-type]


class NdArrayNode(_Read, _numpy.NdArrayNode):  # type: ignore[misc]
    """An array or a scalar of numbers or texts, or an array of objects that the file lists one by one."""

    def _construct(self) -> Any:
        named = (self.module_name, self.class_name)
        if self.type == "json":
            if named != ("numpy", "ndarray"):
                raise odd("broken-array", "an array of a class of its own")
            return object_array([item.construct() for item in self.items], self.shape.construct())
        array = array_of(self.buffer.getvalue())
        if named == ("numpy", "ndarray"):
            return array
        kind = _named(self)
        if not (isinstance(kind, type) and issubclass(kind, np.generic)) or array.shape != () or array.dtype.type is not kind:
            raise odd("broken-array", "a scalar that isn't one")
        return array[()]


class MaskedArrayNode(_Read, _numpy.MaskedArrayNode):  # type: ignore[misc]
    """A masked array, as a search's results are."""

    def _construct(self) -> Any:
        data, mask = self.data.construct(), self.mask.construct()
        fits = type(data) is np.ndarray and isinstance(mask, (np.ndarray, np.bool_)) and mask.dtype == np.bool_
        if not fits or mask.shape not in ((), data.shape):
            raise odd("broken-array", "a masked array whose mask doesn't fit")
        return np.ma.MaskedArray(data, mask)


class DTypeNode(_Read, _numpy.DTypeNode):  # type: ignore[misc]
    """The type of an array's elements."""

    def _construct(self) -> Any:
        array = self.content.construct()
        if type(array) is not np.ndarray:
            raise odd("broken-array", "a type of elements that isn't one")
        return array.dtype


class SparseMatrixNode(_Read, _scipy.SparseMatrixNode):  # type: ignore[misc]
    """A sparse matrix, out of arrays that were checked each; its indices are the object check's to judge."""

    def _construct(self) -> Any:
        parts = self.reading_parts()
        form = str(parts.pop("format").item(), "ascii", "replace")
        if form not in _SCIPY_FORMS or self.class_name not in (f"{form}_matrix", f"{form}_array"):
            raise odd("broken-array", "a sparse matrix of an unknown form")
        shape = tuple(int(one) for one in parts.pop("shape").ravel()[:2])
        make = getattr(scipy.sparse, self.class_name)
        matrix = make(sparse_arguments(form, parts), shape=shape)
        self.reading.created.append(matrix)
        return matrix

    def reading_parts(self) -> dict[str, Any]:
        """Return the arrays of the archive inside."""
        content = self.content.getvalue()
        archive = open_archive(io.BytesIO(content), self.reading.bytes_left)
        self.reading.bytes_left -= sum(member.file_size for member in archive.infolist())
        return {name.removesuffix(".npy"): array_of(read_member(archive, name)) for name in archive.namelist()}


class RandomStateNode(_Read, _numpy.RandomStateNode):  # type: ignore[misc]
    """A random state, whose words are checked."""

    def _construct(self) -> Any:
        return self.reading.finish(arrays.make_random_state(self.reading, ()), self.content.construct())


class RandomGeneratorNode(_Read, _numpy.RandomGeneratorNode):  # type: ignore[misc]
    """A random generator, whose state is checked."""

    def _construct(self) -> Any:
        state = self.bit_generator_state.construct()
        generator = arrays.make_bit_generator(self.reading, (self.bit_generator_name,))
        return arrays.make_generator(self.reading, (self.reading.finish(generator, state),))


#: Every kind of node that is read. Those that call what a file names (methods, partials of anything, operators,
#: constructors) aren't among them.
NODES: dict[str, Any] = {
    node.__name__: node
    for node in (
        ObjectNode, TreeNode, LossNode, DictNode, ListNode, SetNode, TupleNode, SliceNode, JsonNode, TypeNode, FunctionNode, PartialNode,
        NdArrayNode, MaskedArrayNode, DTypeNode, SparseMatrixNode, RandomStateNode, RandomGeneratorNode,
    )
}  # fmt: skip


def _key_of(kind: Any, key: str) -> Any:
    if kind is str:
        return key
    if kind is bool:
        return key.lower() == "true"
    if kind not in _KEYS and not (isinstance(kind, type) and issubclass(kind, (np.number, np.str_, np.bool_))):
        raise odd("state-not-allowed", "a dict whose keys aren't plain values")
    return kind(key)


def _require_class(node: Any, name: str) -> None:
    if (node.module_name, node.class_name) != ("builtins", name):
        raise odd("object-not-allowed", f"a {name} of another class")

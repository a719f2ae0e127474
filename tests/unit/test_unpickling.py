"""The unpickler's machine: plain values come out as pickle gives them, and what makes, calls or changes an object is held to rules."""

from __future__ import annotations

import io
import lzma
import pickle
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from registry.flavors import unpickling
from registry.flavors.refusals import Refused
from registry.flavors.unpickling import Damaged, Unpickled
from tests.fixture_models import case_of, dump
from tests.opcodes import build, call, mapping, name, new, program, text

BUDGET_BYTES = 64 << 20
ESTIMATOR = ("sklearn.linear_model._logistic", "LogisticRegression")
EMPTY_COUNTS = call("collections", "defaultdict", name("builtins", "int"))


def load(blob: bytes, budget_bytes: int = BUDGET_BYTES) -> Unpickled:
    """Load a file's bytes."""
    return unpickling.load(io.BytesIO(blob), budget_bytes)


def rule_of(blob: bytes, budget_bytes: int = BUDGET_BYTES) -> str:
    """Return the rule that a file is refused for."""
    with pytest.raises(Refused) as refused:
        load(blob, budget_bytes)
    return refused.value.rule


VALUES: list[Any] = [
    None, True, False, 0, 255, 256, 65_535, 65_536, -1, 2**31 - 1, -(2**31), 2**63, -(2**127), 1.5, float("inf"), "", "text", "ä€😀", "x" * 300, b"", b"ab",
    b"\xff" * 300, [], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, {"a": {"b": 1}}, {1: "x", 2.5: None, (1, "y"): b""}, set(), {1, 2},
    frozenset({"a"}), OrderedDict([("b", 1), ("a", 2)]), defaultdict(list, {"a": [1]}), defaultdict(int), Bunch(a=1), slice(1, None, 2), range(3),
    [1] * 2_000, {str(index): index for index in range(3_000)}, np.log1p, np.float32, int, float,
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:40])
def test_plain_values_come_out_as_pickle_gives_them(value: Any, protocol: int) -> None:
    """In each protocol, of the same type."""
    found = load(pickle.dumps([value], protocol)).value[0]
    assert type(found) is type(value)
    assert found == value


def test_what_is_shared_stays_shared() -> None:
    """One list in two places is one list, and a list may hold itself."""
    shared = [1]
    itself: list[Any] = [shared, shared]
    itself.append(itself)
    found = load(pickle.dumps(itself)).value
    assert found[0] is found[1]
    assert found[2] is found


def test_a_text_longer_than_the_window_comes_out_whole() -> None:
    """Also across its edge, and compressed."""
    value = ["x" * 700_000, b"y" * 700_000, "z" * 10]
    assert load(pickle.dumps(value)).value == value


def test_the_objects_of_a_model_are_listed_inner_before_outer() -> None:
    """So that a check of a pipeline can rely on its checked steps."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1])
    kinds = [type(created).__name__ for created in load(dump(model)).created]
    assert kinds == ["StandardScaler", "LogisticRegression", "Pipeline"]


def test_the_versions_in_a_file_are_found() -> None:
    """That of scikit-learn stands in every estimator, that of NumPy in its module's name; the one that differs counts."""
    blob = dump(case_of("breast_cancer").estimator)
    assert load(blob).recorded["numpy"] == "2"
    running = load(blob).recorded["scikit-learn"]
    other = "0.9.9"
    assert load(blob.replace(running.encode(), other.encode(), 1)).recorded["scikit-learn"] == other


def test_a_file_of_numpy_1_is_read() -> None:
    """It calls numpy._core by its old name."""
    blob = pickle.dumps(np.arange(3.0), 2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    found = load(blob)
    assert found.recorded == {"numpy": "1"}
    assert found.value.tolist() == [0, 1, 2]


def test_an_isotonic_regression_gets_its_function_back() -> None:
    """It leaves it out of its state, and makes it anew."""
    model = IsotonicRegression().fit([1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert load(dump(model)).value.predict([1.5]) == model.predict([1.5])


@pytest.mark.parametrize(
    ("blob", "rule"),
    [
        (program(call("os", "system", text("true"))), "name-not-allowed"),
        (program(b"cos\nsystem\n"), "name-not-allowed"),
        (program(b"c" + b"x" * 400 + b"\ny\n"), "name-too-long"),
        (program(name("builtins", "eval")), "name-not-allowed"),
        (program(name("sklearn.linear_model._logistic", "LogisticRegression.fit")), "name-not-allowed"),
        (program(name("sklearn.base", "BaseEstimator")), "name-not-allowed"),
        (program(b"K\x01K\x02\x93"), "name-not-text"),
        (program(call(*ESTIMATOR)), "call-not-allowed"),
        (program(call("numpy", "log1p", b"K\x01")), "call-not-allowed"),
        (program(b"K\x01)R"), "call-not-allowed"),
        (program(name("numpy", "dtype") + text("f8") + b"R"), "call-not-allowed"),
        (program(new(*ESTIMATOR, b"K\x01")), "object-not-allowed"),
        (program(new("numpy", "log1p")), "object-not-allowed"),
        (program(name(*ESTIMATOR) + b"]\x81"), "object-not-allowed"),
        (program(name(*ESTIMATOR) + b"}b"), "state-not-allowed"),
        (program(b"]" + build(b"}")), "state-not-allowed"),
        (program(name("numpy", "log1p") + build(b"}")), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(b"}") + build(b"}")), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(b"]")), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(b"}}\x86")), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(mapping(predict=b"N"))), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(mapping(set_fit_request=b"N"))), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(mapping(__class__=b"N"))), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(mapping(**{"not a name": b"N"}))), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(b"}(K\x01K\x02u")), "state-not-allowed"),
        (program(new(*ESTIMATOR) + build(mapping(_sklearn_version=b"K\x01"))), "state-not-allowed"),
        (program(new(*ESTIMATOR) + b"K\x01a"), "not-a-container"),
        (program(new(*ESTIMATOR) + text("a") + b"Ns"), "not-a-container"),
        (program(b"}]Ns"), "key-not-allowed"),
        (program(b"\x8f(K\x01\x85\x85\x90"), "key-not-allowed"),
        (program(b"(]\x91"), "key-not-allowed"),
        (program(b"Nq\x00q\x00"), "memo-overwritten"),
        (program(b"\x8b\xff\xff\xff\x7f"), "integer-too-long"),
        (program(b"\x8a\x50" + b"\x01" * 0x50), "integer-too-long"),
        (program(name(*ESTIMATOR)), "not-an-object"),
        (program(b"N") + b"more", "trailing-bytes"),
        (b"(lp0\n.", "old-protocol"),
        (program(b"N", protocol=6), "unknown-protocol"),
        (program(call("sklearn.metrics._dist_metrics", "newObj", name("sklearn.metrics._dist_metrics", "EuclideanDistance64"))), "unfinished-object"),
        (program(call("functools", "partial", name("numpy", "log1p"))), "callable-not-allowed"),
        (program(call("builtins", "set", b"](]e")), "call-not-allowed"),
        (program(call("collections", "OrderedDict", b"K\x01")), "call-not-allowed"),
        (program(call("collections", "defaultdict", name("numpy", "log1p"))), "call-not-allowed"),
        (program(call("_codecs", "encode", text("x"), text("utf-7"))), "call-not-allowed"),
        (program(b")" + b"\x85" * 40), "nested-too-deep"),
        (program(b")" + b"N\x86" * 40), "nested-too-deep"),
        (program(b"(" * 40 + b")" + b"t" * 40), "nested-too-deep"),
        (program(b")" + b"NN\x87" * 40), "nested-too-deep"),
        (program(name("sklearn.impute._iterative", "_ImputerTriplet"), b"q\x00" + b"h\x00" * 39 + b")" + b"NN\x87\x81" * 40), "nested-too-deep"),
        (program(b"}(" + b"".join(b"M" + index.to_bytes(2, "little") + b"\x85N" for index in range(6_000)) + b"u"), "too-many-keys"),
        (program(b"\x8f(" + b"".join(b"M" + index.to_bytes(2, "little") + b"\x85" for index in range(6_000)) + b"\x90"), "too-many-keys"),
        (program(call("builtins", "set", b"]\x8a\x09" + (2**61 - 1).to_bytes(9, "little") + b"a")), "key-not-allowed"),
        (program(b"}" + pickle.dumps(np.complex128(1j), 4)[2:-1].partition(b"\x95")[2][8:] + b"Ns"), "key-not-allowed"),
        (program(EMPTY_COUNTS + text("a") + EMPTY_COUNTS + b"s"), "nested-too-deep"),
        (program(EMPTY_COUNTS + b"(" + text("a") + EMPTY_COUNTS + b"u"), "nested-too-deep"),
        (program(call("builtins", "range", b"K\x01", b"K\x01", b"K\x00")), "call-not-allowed"),
        (program(call("sklearn._loss._loss", "CyHuberLoss", text("x"))), "call-not-allowed"),
    ],
)  # fmt: skip
def test_a_file_that_does_what_no_model_needs_is_refused_by_a_rule(blob: bytes, rule: str) -> None:
    """Each rule by its own name."""
    assert rule_of(blob) == rule


REFUSED_OPCODES = {
    "INST": b"ios\nsystem\n", "OBJ": b"(o", "NEWOBJ_EX": b"))}\x92", "EXT1": b"\x82\x01", "EXT2": b"\x83\x01\x00", "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Px\n", "BINPERSID": b"NQ", "NEXT_BUFFER": b"\x97", "READONLY_BUFFER": b"N\x98", "DUP": b"N2", "INT": b"I1\n", "LONG": b"L1\n",
    "FLOAT": b"F1\n", "STRING": b"S'x'\n", "UNICODE": b"Vx\n", "GET": b"g0\n", "PUT": b"Np0\n", "DICT": b"(d", "LIST": b"(l", "BINSTRING": b"T\x01\x00\x00\x00x",
    "SHORT_BINSTRING": b"U\x01x", "unknown": b"\xff",
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED_OPCODES.values(), ids=REFUSED_OPCODES)
def test_an_instruction_that_no_model_needs_is_refused(code: bytes) -> None:
    """Whatever follows it."""
    assert rule_of(program(code)) == "opcode-not-allowed"


@pytest.mark.parametrize(
    "blob",
    [b"\x80\x04", program(), program(b"NN"), program(b"(N"), program(b"a"), program(b"h\x07"), program(b"\x86"), program(b"}(Nu"), program(b"X\xff\xff\xff\x7fab"),
     program(b"X\x01\x00\x00\x00\xff"), program(b"\x8d" + b"\xff" * 8), b"\x78\x9c\x00\x00", b"BZh9xxxxxx", b"\xfd7zXZ\x00xxxxxx", b"\x1f\x8b\x08\x00xxxx"],
)  # fmt: skip
def test_a_file_that_can_not_be_read_to_its_end_is_damaged(blob: bytes) -> None:
    """Cut off, with too little on the stack, or not what its first bytes announce."""
    with pytest.raises((Damaged, Refused)) as raised:
        load(blob)
    assert isinstance(raised.value, Damaged) or raised.value.rule == "too-large-unpacked"


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma", "lz4"])
def test_every_cut_of_a_file_is_damaged(compress: int | str) -> None:
    """In every compression, at every place."""
    blob = dump(make_pipeline(StandardScaler()).fit(np.eye(2)), compress)
    for length in range(16, len(blob) - 1, max(1, len(blob) // 60)):
        with pytest.raises(Damaged):
            load(blob[:length])


@pytest.mark.parametrize("compress", ["zlib", "gzip", "bz2", "xz", "lzma", "lz4"])
def test_what_follows_a_compressed_stream_is_refused(compress: str) -> None:
    """A second stream or any other byte."""
    blob = dump(StandardScaler().fit(np.eye(2)), compress)
    assert rule_of(blob + b"x") == "trailing-bytes"
    assert rule_of(blob + blob) == "trailing-bytes"


@pytest.mark.parametrize("compress", [0, "zlib", "bz2", "xz"])
def test_a_file_may_not_unpack_to_more_than_its_budget(compress: int | str) -> None:
    """Counted over all that was read, arrays included."""
    blob = dump(StandardScaler().fit(np.zeros((2, 100_000))), compress)
    assert rule_of(blob, 100_000) == "too-large-unpacked"
    assert load(blob).value.mean_.shape == (100_000,)


def test_what_a_file_asks_for_in_few_bytes_is_charged_as_what_it_costs() -> None:
    """A random state takes four bytes of a file and three thousand of memory."""
    states = name("numpy.random._pickle", "__randomstate_ctor") + b"q\x000(" + b"h\x00)R" * 1_000 + b"t"
    assert rule_of(program(states), 1 << 20) == "too-large-unpacked"


def test_tuples_in_tuples_are_counted_by_their_deepest() -> None:
    """Those that lie beside each other or are shared aren't any deeper."""
    value: Any = ()
    for _ in range(25):
        value = (value, value, ("beside",) * 3)
    assert load(pickle.dumps(value, 4)).value == value


def test_what_unpacks_to_a_thousand_times_its_size_is_a_bomb() -> None:
    """Whatever the budget is."""
    blob = dump(StandardScaler().fit(np.zeros((2, 100))), "xz")
    bomb = lzma.compress(dump({"zeros": np.zeros(10 << 20)}), preset=0)
    assert len(bomb) < 1 << 16
    assert rule_of(bomb, 1 << 40) == "decompression-bomb"
    assert load(blob).value.n_features_in_ == 100


def test_nothing_of_the_class_is_changed_by_a_load() -> None:
    """State goes to the object alone."""
    before = dict(vars(LogisticRegression))
    load(dump(case_of("iris").estimator))
    assert dict(vars(LogisticRegression)) == before

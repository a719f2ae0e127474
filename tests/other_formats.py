"""skops and ONNX files for tests: good ones of the fixture models, and hostile ones, each with what it must be refused for."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before anything imports onnxruntime

import numpy as np
import onnx
import pandas as pd
import skops.io
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, StringTensorType
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from tests.fixture_models import case_of, rows_of

#: Of a hostile file: how it is made, and the rule or the word of the refusal.
Hostile = dict[str, tuple[Callable[[], bytes], str]]

#: Fixture models that skl2onnx converts to operators that are accepted.
CASES_IN_ONNX = (
    "iris", "iris_frame", "breast_cancer", "diabetes", "mixed_frame", "multi_regressor", "multi_classifier", "kmeans", "isolation_forest",
    "parallel_forest", "grid_search", "object_array",
)  # fmt: skip

OPSETS = {"": 15, "ai.onnx.ml": 3}
ROWS = np.random.default_rng(5).standard_normal((40, 3))
CLASSES = (ROWS[:, 0] > 0).astype(int)


# -- ONNX ----------------------------------------------------------------------------------------------------------------


def onnx_of(name: str, **options: Any) -> bytes:
    """Return a fixture model as skl2onnx converts it; `zipmap=False` gives probabilities as a plain array."""
    estimator, held_out = case_of(name).estimator, case_of(name).held_out
    types = _types_of(held_out)
    chosen = {id(estimator): options} if options else None
    data: bytes = convert_sklearn(estimator, initial_types=types, options=chosen, target_opset=OPSETS).SerializeToString()
    return data


def onnx_rows(name: str) -> list[Any]:
    """Return held-out rows as the converted model takes them: no missing texts, and the names that skl2onnx gives to columns."""
    rows = [row for row in rows_of(case_of(name).held_out) if None not in (row.values() if isinstance(row, dict) else row)]
    return [{re.sub(r"\W", "_", key): value for key, value in row.items()} if isinstance(row, dict) else row for row in rows]


def _types_of(held_out: Any) -> list[Any]:
    if isinstance(held_out, list):
        return [("text", StringTensorType([None, 1]))]
    if isinstance(held_out, pd.DataFrame):
        kinds = {"f": FloatTensorType, "b": BooleanTensorType}
        return [(name, kinds.get(held_out[name].dtype.kind, StringTensorType)([None, 1])) for name in held_out.columns]
    kind = StringTensorType if held_out.dtype.kind == "O" else FloatTensorType
    return [("X", kind([None, held_out.shape[1]]))]


def model_of(nodes: list[Any], **parts: Any) -> bytes:
    """Return an ONNX model of three columns with these operators, which lead from X to Y."""
    return built_of(nodes, **parts).SerializeToString()  # type: ignore[no-any-return]


def built_of(nodes: list[Any], **parts: Any) -> Any:
    """Return it before it is bytes."""
    taken = parts.pop("taken", helper.make_tensor_value_info("X", parts.pop("type", TensorProto.FLOAT), parts.pop("shape", [None, 3])))
    given = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "graph", [taken], [given], parts.pop("initializers", []))
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **parts)


def _external() -> bytes:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "W")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    return model_of([helper.make_node("Add", ["X", "W"], ["Y"])], initializers=[tensor])


def _external_in_memory() -> bytes:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "W")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "*/_ORT_MEM_ADDR_/*", "offset": "4096", "length": "12"}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model_of([helper.make_node("Constant", [], ["W"], value=tensor), helper.make_node("Add", ["X", "W"], ["Y"])])


def _external_without_location() -> bytes:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "W")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return model_of([helper.make_node("Add", ["X", "W"], ["Y"])], initializers=[tensor])


def _loop() -> bytes:
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["go"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("going", TensorProto.BOOL, [])],
        [condition],
    )
    true = numpy_helper.from_array(np.array(True), "true")
    return model_of(
        [helper.make_node("Loop", ["", "true"], [], body=body), helper.make_node("Identity", ["X"], ["Y"])], initializers=[true]
    )


def _if() -> bytes:
    branch = helper.make_graph([helper.make_node("Identity", ["X"], ["Z"])], "b", [], [helper.make_tensor_value_info("Z", 1, None)])
    true = numpy_helper.from_array(np.array(True), "true")
    return model_of([helper.make_node("If", ["true"], ["Y"], then_branch=branch, else_branch=branch)], initializers=[true])


def _function() -> bytes:
    model = built_of([helper.make_node("Identity", ["X"], ["Y"])])
    made = helper.make_function("own", "Twice", ["A"], ["B"], [helper.make_node("Add", ["A", "A"], ["B"])], [helper.make_opsetid("", 15)])
    model.functions.append(made)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _huge() -> bytes:
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[1 << 40, 1 << 10], raw_data=b"\0" * 12)
    return model_of([helper.make_node("Add", ["X", "W"], ["Y"])], initializers=[tensor])


def _negative() -> bytes:
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[-3], raw_data=b"\0" * 12)
    return model_of([helper.make_node("Add", ["X", "W"], ["Y"])], initializers=[tensor])


def _short() -> bytes:
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[3], raw_data=b"\0" * 4)
    return model_of([helper.make_node("Add", ["X", "W"], ["Y"])], initializers=[tensor])


def _ort_disguised() -> bytes:
    """Return a model in whose fifth to eighth byte stands what makes onnxruntime read its own format."""
    data = model_of([helper.make_node("Identity", ["X"], ["Y"])], producer_name="ORTM-like")
    assert data[4:8] == b"ORTM"
    return data


def _two_operators_in_one() -> bytes:
    """Return a node that is named twice: the last name counts for a parser of protobuf."""
    model = built_of([helper.make_node("Identity", ["X"], ["Y"])])
    node = model.graph.node[0].SerializeToString()
    twice = node + b"\x22\x04Loop"
    graph = model.graph.SerializeToString().replace(bytes([0x0A, len(node)]) + node, bytes([0x0A, len(twice)]) + twice)
    model.ClearField("graph")
    return model.SerializeToString() + bytes([0x3A, len(graph)]) + graph  # type: ignore[no-any-return]


def _group() -> bytes:
    return model_of([helper.make_node("Identity", ["X"], ["Y"])]) + b"\xf3\x07\xf4\x07"


def _tree_out_of_range() -> bytes:
    model = onnx.load_model_from_string(convert_sklearn(DecisionTreeClassifier(random_state=0).fit(ROWS, CLASSES), initial_types=[("X", FloatTensorType([None, 3]))], target_opset=OPSETS).SerializeToString())  # fmt: skip
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_truenodeids":
                attribute.ints[:] = [1 << 40] * len(attribute.ints)
    return model.SerializeToString()  # type: ignore[no-any-return]


def _plain_model(**parts: Any) -> bytes:
    return model_of([helper.make_node("Identity", ["X"], ["Y"])], **parts)


HOSTILE_ONNX: Hostile = {
    "weights in another file": (_external, "reads-files"),
    "weights at an address in memory": (_external_in_memory, "reads-files"),
    "weights in another file without saying so": (_external_without_location, "reads-files"),
    "an endless loop": (_loop, "operator-not-allowed"),
    "a branch": (_if, "operator-not-allowed"),
    "a function of its own": (_function, "operator-not-allowed"),
    "an operator of another domain": (lambda: model_of([helper.make_node("Tokenizer", ["X"], ["Y"], domain="com.microsoft")]), "operator-not-allowed"),
    "an operator that makes up numbers": (lambda: model_of([helper.make_node("RandomNormalLike", ["X"], ["Y"])]), "operator-not-allowed"),
    "an operator that reads locales": (lambda: model_of([helper.make_node("StringNormalizer", ["X"], ["Y"])]), "operator-not-allowed"),
    "an operator named twice": (_two_operators_in_one, "damaged"),
    "a group of fields": (_group, "damaged"),
    "a tensor of huge size": (_huge, "too-large-unpacked"),
    "a tensor of negative size": (_negative, "too-large-unpacked"),
    "a tensor shorter than it says": (_short, "can't use the model"),
    "a tree whose children don't exist": (_tree_out_of_range, "can't use the model"),
    "another format in disguise": (_ort_disguised, "own format"),
    "cut off": (lambda: onnx_of("iris")[:-30], "damaged"),
    "random bytes": (lambda: b"\x08\x08\x12" + np.random.default_rng(1).bytes(500), "damaged"),
    "no graph": (lambda: b"\x08\x08\x12\x04none", "no model"),
    "pictures": (lambda: _plain_model(shape=[None, 3, 224, 224]), "one table"),
    "complex numbers": (lambda: _plain_model(type=TensorProto.COMPLEX64), "can't use the model"),
    "half numbers": (lambda: _plain_model(type=TensorProto.FLOAT16), "can't use the model"),
    "a fixed number of rows": (lambda: _plain_model(shape=[1, 3]), "exactly 1 rows"),
    "inputs that don't fit": (lambda: model_of([helper.make_node("MatMul", ["X", "Z"], ["Y"])]), "can't use the model"),
}  # fmt: skip


# -- skops ---------------------------------------------------------------------------------------------------------------


def skops_of(estimator: Any, **options: Any) -> bytes:
    """Return an estimator as a skops file."""
    data: bytes = skops.io.dumps(estimator, **options)
    return data


def changed(data: bytes, change: Callable[[dict[str, Any]], Any], members: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """Return a skops file with another schema: what `change` returns, or the one that it changed in place; and other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(content.pop("schema.json"))
    schema = change(schema) or schema
    return zip_of({**content, **(members or {}), "schema.json": json.dumps(schema).encode()}, **options)


def zip_of(members: dict[str, bytes], **options: Any) -> bytes:
    """Return an archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def linear() -> Any:
    """Return a small fitted estimator."""
    return LogisticRegression().fit(ROWS, CLASSES)


def attributes(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of the outermost object of a schema."""
    found: dict[str, Any] = schema["content"]["content"]
    return found


def node(loader: str, module: str, name: str, **rest: Any) -> dict[str, Any]:
    """Return a node of a schema."""
    return {"__loader__": loader, "__module__": module, "__class__": name, **rest}


def plain(value: Any) -> dict[str, Any]:
    """Return the node of a plain value."""
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def many(loader: str, name: str, *items: Any) -> dict[str, Any]:
    """Return the node of a list, tuple or set."""
    return node(loader, "builtins", name, content=list(items))


def with_value(value: dict[str, Any], members: dict[str, bytes] | None = None) -> bytes:
    """Return a skops file whose estimator has one more value."""
    return changed(skops_of(linear()), lambda schema: attributes(schema).update(tol=value), members)


def _with_attribute(name: str) -> bytes:
    def change(schema: dict[str, Any]) -> None:
        attributes(schema)[name] = plain(1)
        schema["content"]["key_types"]["content"].append(_STR)

    return changed(skops_of(linear()), change)


def npy(header: str, body: bytes = b"") -> bytes:
    """Return an npy file with any header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def array_node(name: str = "own.npy") -> dict[str, Any]:
    """Return the node of an array in a member."""
    return node("NdArrayNode", "numpy", "ndarray", type="numpy", file=name)


def _deep() -> bytes:
    inner = plain(1)
    for _ in range(400):
        inner = many("ListNode", "list", inner)
    return with_value(inner)


def _deep_text() -> bytes:
    return zip_of({"schema.json": b"[" * 100_000 + b"]" * 100_000})


def _itself() -> bytes:
    inner = node("ObjectNode", "sklearn.linear_model._logistic", "LogisticRegression", __id__=7)
    inner["content"] = node("DictNode", "builtins", "dict", key_types=many("ListNode", "list", _STR), content={"C": dict(inner)})
    return with_value(inner)


_STR = node("TypeNode", "builtins", "str")


def _duplicate() -> bytes:
    data = skops_of(linear())
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        twin = zipfile.ZipInfo("schema.jsom")
        archive.writestr(twin, b"{}")
    return buffer.getvalue().replace(b"schema.jsom", b"schema.json")


def _lying_size() -> bytes:
    data = bytearray(zip_of({"schema.json": b'{"a": ' + b" " * 5000 + b"1}"}, compression=zipfile.ZIP_DEFLATED))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (40).to_bytes(4, "little")
    return bytes(data)


def _many_directory_entries() -> bytes:
    data = bytearray(skops_of(linear()))
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = (0xF000_0000).to_bytes(4, "little")
    return bytes(data)


def _schema_of_zeros() -> bytes:
    return zip_of({"schema.json": b"{" + b" " * (300 << 20) + b"}"}, compression=zipfile.ZIP_DEFLATED)


def _same_array_often() -> bytes:
    """Return a small file in which one member of 8 MiB is named a thousand times."""
    content = io.BytesIO()
    np.save(content, np.zeros(1 << 20))
    return with_value(many("ListNode", "list", *[array_node() for _ in range(1000)]), {"own.npy": content.getvalue()})


def _filename_vectorizer() -> bytes:
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["a good film", "a bad film"], [1, 0])
    model[0].input = "filename"
    return skops_of(model)


def _slow_pattern() -> bytes:
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["a good film", "a bad film"], [1, 0])
    model[0].token_pattern = r"(a+)+$"
    return skops_of(model)


def _find(value: Any, loader: str) -> dict[str, Any]:
    """Return the first node of a kind."""
    waiting = [value]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict):
            if one.get("__loader__") == loader:
                return one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    raise LookupError(loader)


def _tree(change: Callable[[dict[str, Any], dict[str, Any], dict[str, bytes]], Any]) -> bytes:
    """Return a decision tree whose state, arguments or members `change` changed."""
    data = skops_of(DecisionTreeClassifier(random_state=0).fit(ROWS, CLASSES))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name.endswith(".npy")}

    def rewrite(schema: dict[str, Any]) -> None:
        tree = _find(schema, "TreeNode")
        change(tree["content"]["content"], tree["__reduce__"]["args"], members)

    return changed(data, rewrite, members)


def _tree_to_itself() -> bytes:
    def change(state: dict[str, Any], _: Any, members: dict[str, bytes]) -> None:
        nodes = np.load(io.BytesIO(members[state["nodes"]["file"]]))
        nodes["left_child"][0] = 0
        buffer = io.BytesIO()
        np.save(buffer, nodes)
        members[state["nodes"]["file"]] = buffer.getvalue()

    return _tree(change)


def _neighbours_tampered() -> bytes:
    data = skops_of(KNeighborsClassifier(algorithm="kd_tree").fit(ROWS, CLASSES))

    def change(schema: dict[str, Any]) -> None:
        state = attributes(schema)["_tree"]["content"]["content"]
        state.pop()

    return changed(data, change)


def _generator() -> bytes:
    state = node("DictNode", "builtins", "dict", key_types=many("ListNode", "list", _STR), content={"bit_generator": plain("seed")})
    return with_value(
        node("RandomGeneratorNode", "numpy.random._generator", "Generator", content={"bit_generator": state, "seed_seq": state})
    )


def _method(schema: dict[str, Any]) -> dict[str, Any]:
    return node("MethodNode", "sklearn.linear_model._logistic", "LogisticRegression", content={"func": "fit", "obj": schema})


def _doubled(rows: Any) -> Any:
    return 2 * rows


def _own_function(function: Any) -> bytes:
    return skops_of(make_pipeline(FunctionTransformer(function), LogisticRegression()).fit(np.abs(ROWS), CLASSES))


HOSTILE_SKOPS: Hostile = {
    "builtins.eval": (lambda: with_value(node("FunctionNode", "builtins", "eval")), "name-not-allowed"),
    "os.system": (lambda: with_value(node("FunctionNode", "os", "system")), "name-not-allowed"),
    "os.system as a type": (lambda: with_value(node("TypeNode", "os", "system")), "name-not-allowed"),
    "an object of a foreign class": (lambda: with_value(node("ObjectNode", "subprocess", "Popen")), "name-not-allowed"),
    "an object of an allowed function": (lambda: with_value(node("ObjectNode", "numpy", "log1p")), "object-not-allowed"),
    "a class as a value": (lambda: with_value(node("TypeNode", "sklearn.pipeline", "Pipeline")), "name-not-allowed"),
    "old function": (lambda: with_value(node("FunctionNode", "builtins", "function", content={"module_path": "os", "function": "system"})), "name-not-allowed"),
    "an operator": (lambda: with_value(node("OperatorFuncNode", "operator", "methodcaller", attrs=many("TupleNode", "tuple", plain("fit")))), "call-not-allowed"),
    "a method": (lambda: with_value(_method(plain(1))), "call-not-allowed"),
    "a constructor": (lambda: with_value(node("ConstructorFromReduceNode", "builtins", "open", content=many("TupleNode", "tuple", plain("/etc/passwd")))), "call-not-allowed"),
    "a partial of anything": (lambda: with_value(node("PartialNode", "functools", "partial", content={"func": node("FunctionNode", "numpy", "log1p"), "args": many("TupleNode", "tuple"), "kwds": node("DictNode", "builtins", "dict", key_types=many("ListNode", "list"), content={}), "namespace": plain(None)})), "callable-not-allowed"),
    "a loss that is an estimator": (lambda: with_value(node("LossNode", "sklearn.pipeline", "Pipeline", content=many("TupleNode", "tuple"), __reduce__={"args": many("TupleNode", "tuple", plain(1))})), "call-not-allowed"),
    "an unknown kind of node": (lambda: with_value(node("OwnNode", "builtins", "list")), "object-not-allowed"),
    "a cached node": (lambda: with_value(node("CachedNode", "builtins", "list", __id__=1)), "object-not-allowed"),
    "bytes": (lambda: with_value(node("BytesNode", "builtins", "bytes", file="schema.json")), "object-not-allowed"),
    "keys made by a class": (lambda: with_value(node("DictNode", "builtins", "dict", key_types=many("ListNode", "list", node("TypeNode", "builtins", "object")), content={"a": plain(1)})), "state-not-allowed"),
    "a state that replaces a method": (lambda: _with_attribute("predict"), "state-not-allowed"),
    "a state with the class in it": (lambda: _with_attribute("__class__"), "state-not-allowed"),
    "a random generator that is a function": (_generator, "name-not-allowed"),
    "a plain value that isn't": (lambda: with_value(plain({"a": [1]})), "state-not-allowed"),
    "nested too deep": (_deep, "nested-too-deep"),
    "text nested too deep": (_deep_text, "nested-too-deep"),
    "an object in itself": (_itself, "nested-too-deep"),
    "two members of one name": (_duplicate, "duplicate-member"),
    "a path as a member": (lambda: with_value(plain(1), {"../../evil.npy": b"x"}), "member-not-allowed"),
    "a pickle as a member": (lambda: with_value(plain(1), {"model.pkl": b"x"}), "member-not-allowed"),
    "a member that lies about its size": (_lying_size, "damaged"),
    "a directory that lies about its size": (_many_directory_entries, "zip"),
    "bytes behind the archive": (lambda: skops_of(linear()) + b"more", "zip"),
    "a schema of zeros": (_schema_of_zeros, "decompression-bomb"),
    "one array a thousand times": (_same_array_often, "too-large-unpacked"),
    "a member that isn't there": (lambda: with_value(array_node("none.npy")), "lacks a file"),
    "the schema as an array": (lambda: with_value(array_node("schema.json")), "lacks a file"),
    "an array with a pickle in it": (lambda: with_value(array_node(), {"own.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n.")}), "broken-array"),
    "an array of a huge shape": (lambda: with_value(array_node(), {"own.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }")}), "broken-array"),
    "an array of nothing, often": (lambda: with_value(array_node(), {"own.npy": npy("{'descr': '|V0', 'fortran_order': False, 'shape': (99999999999,), }")}), "broken-array"),
    "a pickle as an array": (lambda: with_value(array_node(), {"own.npy": b"\x80\x04cos\nsystem\n."}), "broken-array"),
    "a vectorizer that opens files": (_filename_vectorizer, "reads-files"),
    "a pattern that never ends": (_slow_pattern, "slow-pattern"),
    "a tree that goes in circles": (_tree_to_itself, "broken-tree"),
    "a tree with too few classes": (lambda: _tree(lambda _, args, __: args["content"].__setitem__(2, plain(9))), "broken-tree"),
    "a tree with more nodes than it has": (lambda: _tree(lambda state, _, __: state.update(node_count=plain(1 << 20))), "broken-tree"),
    "neighbours with an odd state": (_neighbours_tampered, "broken-neighbours"),
    "a function of one's own": (lambda: _own_function(_doubled), "name-not-allowed"),
    "no estimator": (lambda: skops_of({"a": 1}), "not an estimator"),
    "not fitted": (lambda: skops_of(LogisticRegression()), "isn't fitted"),
}  # fmt: skip

"""What an ONNX file holds, found out from its bytes before onnxruntime sees them.

Refuses what a table model never needs and what would reach outside the file: data in other files, loops and other
operators with inner graphs, operators of foreign domains, functions. Needs no library; must never build an array.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from registry.errors import NotAModel
from registry.flavors.protobuf import BYTES, VARINT, Malformed, Reader, run_of
from registry.flavors.refusals import Refused, shown_name

#: Bounds on the file's parts: fields looked at, operators, elements of one tensor, bytes of a name.
MAX_FIELDS, MAX_NODES, MAX_ELEMENTS, MAX_NAME_BYTES = 4_000_000, 20_000, 1 << 28, 512

#: So many operators are kept by name.
MAX_OPERATORS_KEPT = 60

_MAX_RANK, _MAX_CLASS_LISTS = 16, 4
_ORT_MARK = b"ORTM"  # onnxruntime's own format, which it would read instead; it can hide in an ONNX file's producer name

_STANDARD = frozenset({"", "ai.onnx"})
_ML = "ai.onnx.ml"

#: The operators that fitted table models are converted to. Left out on purpose: those with inner graphs (If, Loop, Scan, SequenceMap),
#: random ones, those for images, sound and language, and StringNormalizer, which reads the system's locales.
STANDARD_OPERATORS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BatchNormalization BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike
    Ceil Celu Clip Compress Concat Constant ConstantOfShape Cos Cosh CumProd CumSum DequantizeLinear Det Div Einsum Elu Equal Erf Exp
    Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity
    IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max Mean Min Mish Mod Mul Neg NonZero Not
    OneHot Or PRelu Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements ScatterND Selu SequenceConstruct Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh TfIdfVectorizer ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Where Xor
    """.split()  # noqa: SIM905 - read as a text
)
ML_OPERATORS = frozenset(
    """
    ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder LinearClassifier
    LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier TreeEnsembleRegressor ZipMap
    """.split()  # noqa: SIM905 - read as a text
)

# Field numbers of onnx.proto3, by message.
_MODEL_PRODUCER, _MODEL_PRODUCER_VERSION, _MODEL_GRAPH, _MODEL_OPSETS, _MODEL_TRAINING, _MODEL_FUNCTIONS = 2, 3, 7, 8, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_TEXTS = 1, 8, 9
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 5, 6, 10, 11, 22, 23
_SPARSE_VALUES, _SPARSE_INDICES, _SPARSE_DIMS = 1, 2, 3
_TENSOR_DIMS, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 13, 14
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2

#: Runs of an attribute's values (floats, ints, short texts) and of a tensor's, of which a forest has millions.
_ATTRIBUTE_RUN = run_of(varints=(3, 8), fixed32=(2, 7), texts=(9,))
_TENSOR_RUN = run_of(varints=(5, 7, 11), fixed32=(4,))

_READS_FILES = (
    "The model keeps data outside this file, which is never read here. "
    "Save it in one file: onnx.save(onnx.load(path), new_path, save_as_external_data=False)."
)
_FUNCTIONS = "The model brings functions or training steps of its own; export it for inference, without them."
_USE_OTHER = "Publish the estimator itself, with joblib.dump or skops.io.dump, or convert it with skl2onnx to standard operators."


@dataclass(slots=True)
class OnnxFile:
    """What was read: who made it, its operator sets, how many operators there are and the first of them, the classes that a classifier names."""

    producer: str = ""
    producer_version: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    nodes: int = 0
    operators: list[str] = field(default_factory=list)
    classes: list[list[int | str]] = field(default_factory=list)


def looks_like_onnx(head: bytes) -> bool:
    """Tell whether a file that starts so may be ONNX: the version of its format, then a field that a model has."""
    if not re.match(rb"\x08[\x01-\x40]", head):
        return False
    return head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a", b"\x42", b"\x72")


def require_plain(data: memoryview) -> OnnxFile:
    """Return what an ONNX file says of itself. Raises Refused for what it may not hold, NotAModel where it can't be read."""
    if bytes(data[4:8]) == _ORT_MARK:
        raise NotAModel("This is a model in onnxruntime's own format; publish the ONNX file that it was made from.")
    inspector = _Inspector(Reader(data, MAX_FIELDS))
    try:
        inspector.read_model()
    except Malformed as error:
        raise NotAModel("The ONNX file is damaged or cut off: it can't be read to its end.", log_detail=str(error)) from error
    if inspector.found.nodes == 0:
        raise NotAModel("The ONNX file holds no model: its graph has no operators.")
    return inspector.found


class _Inspector:
    """One pass over a file. The format nests to a fixed depth once inner graphs are refused."""

    def __init__(self, reader: Reader) -> None:
        self.found = OnnxFile()
        self._reader = reader

    def read_model(self) -> None:
        for number, kind, _, start, end in self._reader.fields(0, len(self._reader.data)):
            if number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
                raise Refused("operator-not-allowed", _FUNCTIONS)
            if kind != BYTES:
                continue
            if number == _MODEL_GRAPH:
                self._read_graph(start, end)
            elif number == _MODEL_OPSETS:
                self._read_opset(start, end)
            elif number == _MODEL_PRODUCER:
                self.found.producer = self._reader.text(start, end, MAX_NAME_BYTES)
            elif number == _MODEL_PRODUCER_VERSION:
                self.found.producer_version = self._reader.text(start, end, MAX_NAME_BYTES)

    def _read_opset(self, start: int, end: int) -> None:
        domain, version = "", 0
        for number, kind, value, first, last in self._reader.fields(start, end):
            if number == _OPSET_DOMAIN and kind == BYTES:
                domain = self._reader.text(first, last, MAX_NAME_BYTES)
            elif number == _OPSET_VERSION and kind == VARINT:
                version = value
        self.found.opsets[domain or "ai.onnx"] = version

    def _read_graph(self, start: int, end: int) -> None:
        for number, kind, _, first, last in self._reader.fields(start, end):
            if kind != BYTES:
                continue
            if number == _GRAPH_NODE:
                self._read_node(first, last)
            elif number == _GRAPH_INITIALIZER:
                self._read_tensor(first, last)
            elif number == _GRAPH_SPARSE:
                self._read_sparse(first, last)

    def _read_node(self, start: int, end: int) -> None:
        self.found.nodes += 1
        if self.found.nodes > MAX_NODES:
            raise Refused("too-large-unpacked", f"The model has more than {MAX_NODES} operators.")
        named = {_NODE_OPERATOR: "", _NODE_DOMAIN: ""}
        seen = set()
        for number, kind, _, first, last in self._reader.fields(start, end):
            if kind == BYTES and number in named:
                if number in seen:
                    raise Malformed("an operator is named twice")
                seen.add(number)
                named[number] = self._reader.text(first, last, MAX_NAME_BYTES)
            elif kind == BYTES and number == _NODE_ATTRIBUTE:
                self._read_attribute(first, last)
        _require_operator(named[_NODE_DOMAIN], named[_NODE_OPERATOR])
        if len(self.found.operators) < MAX_OPERATORS_KEPT:
            self.found.operators.append(f"{named[_NODE_DOMAIN] or 'ai.onnx'}.{named[_NODE_OPERATOR]}")

    def _read_attribute(self, start: int, end: int) -> None:
        for number, kind, _, first, last in self._reader.fields(start, end, _ATTRIBUTE_RUN):
            if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                raise Refused("operator-not-allowed", f"The model has an operator with a graph inside (If, Loop, Scan). {_USE_OTHER}")
            if kind != BYTES:
                continue
            if number == _ATTRIBUTE_NAME and self._reader.text(first, last, MAX_NAME_BYTES).startswith("classlabels_"):
                self._read_classes(start, end)
            elif number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._read_tensor(first, last)
            elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                self._read_sparse(first, last)

    def _read_classes(self, start: int, end: int) -> None:
        classes: list[int | str] = []
        for number, kind, value, first, last in self._reader.fields(start, end):
            if number == _ATTRIBUTE_INTS and kind == VARINT:
                classes.append(value - (1 << 64) if value >> 63 else value)
            elif number == _ATTRIBUTE_TEXTS and kind == BYTES:
                classes.append(self._reader.text(first, last, MAX_NAME_BYTES))
        if classes and classes not in self.found.classes and len(self.found.classes) < _MAX_CLASS_LISTS:
            self.found.classes.append(classes)

    def _read_sparse(self, start: int, end: int) -> None:
        dims: list[int] = []
        for number, kind, value, first, last in self._reader.fields(start, end):
            if kind == BYTES and number in (_SPARSE_VALUES, _SPARSE_INDICES):
                self._read_tensor(first, last)
            elif number == _SPARSE_DIMS:
                dims += self._dims(kind, value, first, last)
        _require_size(dims)

    def _read_tensor(self, start: int, end: int) -> None:
        dims: list[int] = []
        for number, kind, value, first, last in self._reader.fields(start, end, _TENSOR_RUN):
            if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
                raise Refused("reads-files", _READS_FILES)
            if number == _TENSOR_DIMS:
                dims += self._dims(kind, value, first, last)
        _require_size(dims)

    def _dims(self, kind: int, value: int, start: int, end: int) -> list[int]:
        """Return a tensor's dimensions out of one field: a single one, or several packed in it."""
        if kind == VARINT:
            return [value]
        if kind != BYTES or end - start > _MAX_RANK * 10:
            raise Malformed("a tensor's dimensions can't be read")
        dims = []
        while start < end:
            one, start = self._reader.varint(start, end)
            dims.append(one)
        return dims


def _require_operator(domain: str, name: str) -> None:
    if domain in _STANDARD and name in STANDARD_OPERATORS:
        return
    if domain == _ML and name in ML_OPERATORS:
        return
    shown = shown_name(name if domain in _STANDARD else f"{domain}.{name}")
    text = f"The model uses the operator {shown}, which isn't accepted. {_USE_OTHER}"
    raise Refused("operator-not-allowed", text, name=shown)


def _require_size(dims: list[int]) -> None:
    """Refuse a tensor that would be too large; a negative dimension arrives here as a huge one."""
    if len(dims) > _MAX_RANK or math.prod(max(1, one) for one in dims) > MAX_ELEMENTS:
        raise Refused("too-large-unpacked", f"The model says that it holds a tensor of more than {MAX_ELEMENTS} values.")

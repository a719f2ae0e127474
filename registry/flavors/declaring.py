"""The input columns of a model: declared in the manifest, seen in its example, or read off the estimator.

What is declared or shown must agree with the estimator; every disagreement is a finding under `#/signature` or `#/input_example`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from registry import frames
from registry.errors import NotAModel
from registry.flavors import anatomy
from registry.flavors.anatomy import MAX_COLUMNS, Fact
from registry.flavors.seeding import seed_table, seed_texts
from registry.signature import TYPES, Column, Observed, Signature, observe
from registry.signature.columns import Complaints, pointer, shown
from registry.signature.json_body import to_inputs

_COLUMN_KEYS = {"name": str, "type": str, "required": bool, "missing": bool}
_SIGNATURE_KEYS = frozenset({"container", "named", "inputs", "outputs"})


@dataclass(frozen=True, slots=True)
class Draft:
    """A signature without outputs, what is known of its columns, and rows to try the model on (None where there are none)."""

    signature: Signature
    facts: dict[int, Fact]
    rows: frames.Inputs | None
    rows_from: str | None
    declared: bool


def draft_of(estimator: Any, manifest: dict[str, Any]) -> Draft:
    """Return the draft of an estimator's signature. Raises SignatureMismatch, NotAModel."""
    observed, declared = read_told(manifest)
    container, names, named = _shape(estimator, observed, declared)
    facts = anatomy.column_facts(estimator, len(names))
    columns = _columns(names, container, facts, observed, declared)
    signature = Signature(container, named, columns, {})
    rows = _seeds(signature, facts, estimator) if observed is None else signature.read_example(observed.example)
    origin = None if rows is None else "seeded" if observed is None else "example"
    return Draft(signature, facts, rows, origin, declared is not None)


def read_told(manifest: dict[str, Any]) -> tuple[Observed | None, tuple[Column, ...] | None]:
    """Return what a manifest's example shows and its signature declares, None where it has none. Raises SignatureMismatch."""
    example, signature = manifest.get("input_example"), manifest.get("signature")
    return None if example is None else observe(example), None if signature is None else parse_declared(signature)


def parse_declared(declared: Any) -> tuple[Column, ...]:
    """Return the columns of a manifest's `signature`; what it says of outputs is found out anew. Raises SignatureMismatch."""
    complaints = Complaints()
    inputs = declared.get("inputs") if isinstance(declared, dict) else None
    if not isinstance(inputs, list) or not inputs:
        complaints.add("expected an object with a list of inputs", pointer("signature"))
        complaints.settle()
    for name in sorted(declared.keys() - _SIGNATURE_KEYS):
        complaints.add(f"unknown field {shown(name)}", pointer("signature", name))
    columns = tuple(_parse_column(one, index, complaints) for index, one in enumerate(inputs or []))
    if len({column.name for column in columns}) != len(columns):
        complaints.add("a column is named twice", pointer("signature", "inputs"))
    complaints.settle()
    return columns


def _parse_column(one: Any, index: int, complaints: Complaints) -> Column:
    at = ("signature", "inputs", index)
    if not isinstance(one, dict):
        complaints.add(f"expected a column, got {shown(one)}", pointer(*at))
        return Column(f"x{index}", "float64")
    for name, value in one.items():
        if name not in _COLUMN_KEYS or not isinstance(value, _COLUMN_KEYS[name]):
            complaints.add(f"{shown(name)} can't be {shown(value)} here", pointer(*at, name))
    kind = one.get("type", "float64")
    if kind not in TYPES:
        complaints.add(f"expected one of {', '.join(TYPES)}, got {shown(kind)}", pointer(*at, "type"))
    if one.get("missing") and kind not in ("float64", "string"):
        complaints.add("only float64 and string columns may have missing values", pointer(*at, "missing"))
    return Column(str(one.get("name", f"x{index}")), str(kind), one.get("required", True), one.get("missing", False))


def _shape(estimator: Any, observed: Observed | None, declared: tuple[Column, ...] | None) -> tuple[str, tuple[str, ...], bool]:
    """Return container, column names, and whether the names mean something."""
    names = anatomy.feature_names(estimator)
    if names is not None:
        _require_width(len(names))
        if len(set(names)) != len(names):
            raise NotAModel("The model was fitted on a data frame in which a column name occurs twice.")
        return "frame", names, True
    given = declared or (observed.columns if observed is not None else None)
    given_named = declared is not None or (observed is not None and observed.named)
    if anatomy.takes_texts(estimator):
        return "texts", _names_of(given, 1) or ("text",), given_named
    count = anatomy.feature_count(estimator)
    if count is None:
        if given is None:
            raise NotAModel("The model doesn't say how many columns it takes; publish it with an input_example.")
        texts = observed is not None and observed.texts and declared is None
        return "texts" if texts else "array", tuple(column.name for column in given), given_named
    _require_width(count)
    names_given = _names_of(given, count) if given_named else None
    return "array", names_given or tuple(f"x{index}" for index in range(count)), names_given is not None


def _require_width(count: int) -> None:
    if not 0 < count <= MAX_COLUMNS:
        raise NotAModel(f"The model takes {count} columns; 1 to {MAX_COLUMNS} are accepted.")


def _names_of(given: tuple[Column, ...] | None, count: int) -> tuple[str, ...] | None:
    return tuple(column.name for column in given) if given is not None and len(given) == count else None


def _columns(
    names: tuple[str, ...], container: str, facts: dict[int, Fact], observed: Observed | None, declared: tuple[Column, ...] | None
) -> tuple[Column, ...]:
    """Return the typed columns: as declared, else as seen, else as the estimator's parts tell."""
    if container == "texts":
        return (Column(names[0], "string"),)
    if declared is not None:
        return _in_order(names, declared, "signature", named=container == "frame")
    guessed = tuple(Column(name, _guess(facts[index])) for index, name in enumerate(names))
    if observed is None:
        return guessed
    seen = _in_order(names, observed.columns, "input_example", named=observed.named)
    return tuple(replace(column, name=guess.name, type=column.type or guess.type) for column, guess in zip(seen, guessed, strict=True))


def _in_order(names: tuple[str, ...], given: tuple[Column, ...], field: str, *, named: bool) -> tuple[Column, ...]:
    """Return `given` in the order of `names`. Raises SignatureMismatch where they aren't the same columns."""
    complaints = Complaints()
    if not named and len(given) != len(names):
        complaints.add(f"the model takes {len(names)} columns, not {len(given)}", pointer(field))
    if named:
        by_name = {column.name: column for column in given}
        for name in sorted(by_name.keys() - set(names)):
            complaints.add(f"the model takes no column {shown(name)}", pointer(field), name)
        for name in names:
            if name not in by_name:
                complaints.add("the column is missing", pointer(field), name)
        complaints.settle()
        return tuple(by_name[name] for name in names)
    complaints.settle()
    return given


def _guess(fact: Fact) -> str:
    if fact.text:
        return "string"
    return "bool" if fact.categories and all(isinstance(value, bool) for value in fact.categories) else "float64"


def _seeds(signature: Signature, facts: dict[int, Fact], estimator: Any) -> frames.Inputs | None:
    if signature.container == "texts":
        return seed_texts(anatomy.text_words(estimator))
    values = seed_table(signature.columns, facts)
    return None if values is None else to_inputs(values, signature.container, signature.columns)

"""What a version takes and gives: its typed columns, and the parsing of every body form into validated values.

The web side's hot path. Pure: bytes in, NumPy arrays out. Must never import pandas, joblib or scikit-learn, and
must never raise anything but the domain's errors, whatever the bytes are.
"""

from registry.signature.columns import MAX_FINDINGS, TYPES, Column
from registry.signature.example import MAX_EXAMPLE_ROWS, Observed, observe
from registry.signature.signature import Request, Signature

__all__ = ["MAX_EXAMPLE_ROWS", "MAX_FINDINGS", "TYPES", "Column", "Observed", "Request", "Signature", "observe"]

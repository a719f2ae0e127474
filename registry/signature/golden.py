"""The blob of golden predictions: the rows that a version was tried on when it was admitted, and what it answered, as plain msgpack.

No pickle, ever. Only packs and unpacks: replaying is the workers' work, showing the console's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from registry import frames
from registry.errors import ModelUnloadable

#: A method whose answer is larger than this isn't recorded.
MAX_OUTPUT_BYTES = 2 * 2**20
FORMAT = 1


def encode_golden(inputs: frames.Inputs, outputs: dict[str, frames.Outputs]) -> bytes | None:
    """Return the blob of golden inputs and the outputs of each method; None where nothing is small enough to keep."""
    packed = {method: frames.encode_outputs(output) for method, output in outputs.items()}
    kept = {method: data for method, data in packed.items() if len(data) <= MAX_OUTPUT_BYTES}
    rows = frames.encode_inputs(inputs)
    if not kept or len(rows) > 4 * MAX_OUTPUT_BYTES:
        return None
    return msgspec.msgpack.encode({"format": FORMAT, "inputs": rows, "outputs": kept})


def decode_golden(golden: bytes) -> tuple[frames.Inputs, dict[str, frames.Outputs]]:
    """Return what `encode_golden` packed. Raises ModelUnloadable."""
    try:
        values: dict[str, Any] = msgspec.msgpack.decode(golden)
        outputs = {str(method): frames.decode_outputs(data) for method, data in values["outputs"].items()}
        return frames.decode_inputs(values["inputs"]), outputs
    except (msgspec.MsgspecError, frames.FrameError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnloadable("The version's golden predictions can't be read.", log_detail=str(error)) from error

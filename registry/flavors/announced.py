"""What an upload would be refused for, found without its bytes, from what its publisher announces of it.

Raises what admission would raise, in the same words and order, and passes what only the bytes can show. Must never refuse what
would be admitted, nor look up an announced name anywhere but in the unpickler's table.
"""

from __future__ import annotations

from typing import Any

from registry.flavors.admission import require_estimator
from registry.flavors.contract import Traits
from registry.flavors.declaring import read_told
from registry.flavors.failures import own_refusals, own_words
from registry.flavors.formats import ONNX, SKLEARN
from registry.flavors.refusals import shown_name
from registry.flavors.unpickling import machine, names


def judge(announced: dict[str, Any], flavor: str) -> None:
    """Judge the `names` that a pickle will hold, in its order, the `estimator`'s traits and the `manifest`.

    Other flavors than `sklearn` hold no names. Raises NotAModel, UnsafeArtifact, SignatureMismatch.
    """
    told = announced["estimator"]
    traits = None if told is None else Traits(**{**told, "type": shown_name(told["type"])})
    if flavor == SKLEARN:
        with own_refusals():
            found = [names.find(module, qualname, {}) for module, qualname in announced["names"]]
            if traits is not None and traits.kind == "class" and len(found) == 1:
                machine.require_object(found[0])  # a class's pickle is its name alone
    if traits is not None and flavor != ONNX:
        require_estimator(traits)
    with own_words():
        read_told(announced["manifest"])

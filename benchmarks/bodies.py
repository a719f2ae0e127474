"""What it costs to turn bodies into inputs and outputs into bodies, beside what a hand-written service does, in the same run.

    .venv/bin/python benchmarks/bodies.py [--rounds 31]

Ours reads, checks and types a body and packs it for the worker (and for the cache's key). The others parse it and make an array, and check
nothing: `orjson.loads` and `numpy.array`, where orjson is installed, and `json.loads` and `numpy.array`; for npy `numpy.load`. The other way
round, ours unpacks what a worker answered and writes JSON; the others write an array that is at hand. Medians of interleaved rounds, in
microseconds of CPU time, and the ratio of ours to each.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import numpy as np

from registry import frames
from registry.signature import Signature, matrices

try:
    import orjson
except ImportError:
    orjson = None

JSON, NPY = "application/json", "application/x-npy"
MAX_ROWS = 100_000
ROUND_SECONDS = 0.004

type_of_ways = dict[str, Callable[[], Any]]

_encode = msgspec.json.Encoder().encode


def signature(width: int) -> Signature:
    """Return a signature of so many columns of float64."""
    inputs = [{"name": f"x{index}", "type": "float64"} for index in range(width)]
    return Signature.from_dict({"container": "array", "named": False, "inputs": inputs, "outputs": {"predict": {}}})


def ours(body: bytes, kind: str, width: int) -> Callable[[], bytes]:
    """Return what the predict flow does with a body before it asks the worker."""
    validate = signature(width).validate
    return lambda: frames.encode_inputs(validate(body, kind, max_rows=MAX_ROWS).inputs)


def saved(array: Any) -> bytes:
    """Return an array as npy."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def ways_in(body: bytes, width: int) -> type_of_ways:
    """Return the ways to read a JSON body of `data`."""
    ways: type_of_ways = {"ours": ours(body, JSON, width)}
    if orjson is not None:
        ways["orjson"] = lambda: np.array(orjson.loads(body)["data"])
    ways["json"] = lambda: np.array(json.loads(body)["data"])
    return ways


def ways_out(array: Any) -> type_of_ways:
    """Return the ways to write an answer; ours begins with the bytes that came from the worker."""
    packed = frames.encode_outputs(frames.Outputs((array,)))
    ways: type_of_ways = {"ours": lambda: _encode({"prediction": frames.decode_outputs(packed).to_plain()})}
    if orjson is not None:
        ways["orjson"] = lambda: orjson.dumps({"prediction": array}, option=orjson.OPT_SERIALIZE_NUMPY)
    ways["json"] = lambda: json.dumps({"prediction": array.tolist()}).encode()
    return ways


def worker_side(inputs: Any, outputs: Any) -> Callable[[], bytes]:
    """Return what a worker does besides computing: unpack a request, copy it, pack the answer."""
    packed = frames.encode_frame({"method": "predict", "params": {}}, frames.encode_inputs(frames.Matrix(inputs)))[4:]
    answer = frames.Outputs((outputs,))

    def work() -> bytes:
        received = frames.decode_inputs(frames.decode_frame(packed)[1])
        assert isinstance(received, frames.Matrix)
        np.array(received.array)
        return frames.encode_frame({"ok": True}, frames.encode_outputs(answer))

    return work


def cases() -> dict[str, type_of_ways]:
    """Return what is measured, each with its ways."""
    random = np.random.default_rng(0)
    iris, row, rows = np.array([[5.1, 3.5, 1.4, 0.2]]), random.standard_normal((1, 20)), random.standard_normal((1000, 20))
    found: dict[str, type_of_ways] = {}
    for name, array in {
        "1 row of 4": iris, "1 row of 20": row, "100 rows of 20": rows[:100], "1,000 rows of 20": rows, "1,000 rows of 20, 3 decimals": rows.round(3)
    }.items():  # fmt: skip
        body = json.dumps({"data": array.tolist()}).encode()
        found[f"read JSON, {name}, {len(body):,} bytes"] = ways_in(body, array.shape[1])
    for name, array in {"1 row of 4": iris, "1,000 rows of 20": rows}.items():
        body = saved(array)
        found[f"read npy, {name}"] = {"ours": ours(body, NPY, array.shape[1]), "numpy.load": lambda body=body: np.load(io.BytesIO(body))}
    for name, array in {
        "1 label": np.array([1]),
        "1,000 labels": np.arange(1000) % 3,
        "1,000 rows of 3 probabilities": random.random((1000, 3)),
    }.items():
        found[f"write JSON, {name}"] = ways_out(array)
    found["worker, without computing, 1 row of 4"] = {"ours": worker_side(iris, np.array([1]))}
    found["worker, without computing, 1,000 rows of 20"] = {"ours": worker_side(rows, np.arange(1000))}
    return found


def measure(ways: type_of_ways, rounds: int) -> dict[str, float]:
    """Return the median microseconds of CPU time of each way, taken in turn."""
    times = {name: _times_a_round(work) for name, work in ways.items()}
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            started = time.process_time()
            for _ in range(times[name]):
                work()
            figures[name].append(1e6 * (time.process_time() - started) / times[name])
    return {name: statistics.median(values) for name, values in figures.items()}


def _times_a_round(work: Callable[[], Any]) -> int:
    """Return how often `work` can be done in ROUND_SECONDS; also warms it."""
    count, started = 0, time.process_time()
    while time.process_time() - started < ROUND_SECONDS or count == 0:
        work()
        count += 1
    return count


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31, help="how often each way is timed (default: 31)")
    arguments = parser.parse_args()
    others = ["orjson", "json", "numpy.load"]
    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, msgspec {msgspec.__version__}, "
        f"simdjson {'installed' if matrices.INSTALLED else 'missing'}, orjson {orjson.__version__ if orjson else 'missing'}; "
        f"{arguments.rounds} rounds, medians in µs of CPU time"
    )
    print(f"\n| | ours | {' | '.join(others)} | ratio to the best |\n|---|--:|{'--:|' * (len(others) + 1)}")
    for name, ways in cases().items():
        figures = measure(ways, arguments.rounds)
        best = min((figures[other] for other in others if other in figures), default=None)
        shown = " | ".join(f"{figures[other]:,.1f}" if other in figures else "" for other in others)
        ratio = f"{figures['ours'] / best:.2f}" if best else ""
        print(f"| {name} | {figures['ours']:,.1f} | {shown} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()

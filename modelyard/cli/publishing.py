"""`modelyard publish`: a file becomes the next version of a model, with what is known of it.

What options tell comes before the same of the manifest file. The service judges; nothing is loaded here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from modelyard.cli.asked import json_option
from modelyard.cli.connecting import model_argument, with_client
from modelyard.cli.printing import note, print_document, say, shown_size
from modelyard.cli.values import json_pair, number_pair, read_bytes, read_example, read_json, text_pair
from modelyard.client import Client
from modelyard.errors import ConfigurationError
from modelyard.records import Version

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
#: What a manifest may hold, as the REST contract names it.
FIELDS = frozenset({
    "accept_skew", "alias", "batching", "description", "flavor", "input_example", "metrics", "parameters", "runtime", "sha256",
    "signature", "source", "tags",
})  # fmt: skip
PAIR = "NAME=VALUE"
MAPPINGS = ("metrics", "tags", "parameters", "source")


@click.command()
@click.argument("path", type=FILE)
@model_argument
@click.option("--alias", help="Point this alias at it once it is ready, such as production.")
@click.option("--example", type=FILE, help="A few rows as the model takes them: .json, .csv or .npy.")
@click.option("--metric", "metrics", multiple=True, type=number_pair, metavar=PAIR, help="A measure, such as auc=0.91; may be repeated.")
@click.option("--tag", "tags", multiple=True, type=text_pair, metavar=PAIR, help="A tag, such as team=risk; may be repeated.")
@click.option(
    "--parameter", "parameters", multiple=True, type=json_pair, metavar=PAIR, help="A parameter, such as depth=8; may be repeated."
)
@click.option("--source", multiple=True, type=text_pair, metavar=PAIR, help="Where it comes from, such as run=42; may be repeated.")
@click.option("--git", "from_git", is_flag=True, help="Add the commit of the working folder to the source.")
@click.option("--description", help="What it is, in words.")
@click.option("--signature", type=FILE, help="JSON file with inputs and outputs, where they can't be told from an example.")
@click.option("--flavor", help="How it is loaded, such as onnx. Default: recognised from the bytes.")
@click.option("--runtime", type=click.Choice(["exact", "fast"]), help="What computes its predictions. Default: the model's.")
@click.option("--accept-skew", is_flag=True, default=None, help="Take it although it was made with other versions of its libraries.")
@click.option("--no-batching", is_flag=True, help="Never compute requests together.")
@click.option("--manifest", type=FILE, help="JSON file with any of these, as in the REST contract; options come first.")
@json_option
@with_client
def publish(client: Client, /, path: Path, model: str, manifest: Path | None, *, as_json: bool, **told: Any) -> None:
    """Upload a model as the next version of a name.

    PATH is a joblib, skops or ONNX file. It is checked by the service and served at once by its number; no alias moves unless --alias
    says so. A retry after a broken connection never makes a second version.

    Example: modelyard publish churn.joblib churn --metric auc=0.91 --git
    """
    if not path.is_file():
        raise click.UsageError(f"{path} is no regular file; what comes through a pipe must be kept in one first.")
    fields = {**_read_manifest(manifest, path)}
    for name in MAPPINGS:
        fields[name] = {**fields.get(name, {}), **dict(told.pop(name))} or None
    if told.pop("from_git"):
        fields["about"] = {"git": True}
    if told.pop("no_batching"):
        fields["batching"] = False
    example, signature = told.pop("example"), told.pop("signature")
    fields |= {name: value for name, value in told.items() if value is not None}
    fields |= {"example": read_example(example)} if example is not None else {}
    fields |= {"signature": read_json(read_bytes(signature), str(signature))} if signature is not None else {}
    _tell(client.publish(path, model, **fields), as_json=as_json)


def _tell(version: Version, *, as_json: bool) -> None:
    if as_json:
        print_document(version.raw)
        return
    say(f"Published {version.selector}: {version.estimator}, {shown_size(version.size_bytes)}.")
    if version.aliases:
        say(f"{', '.join(f'@{alias}' for alias in version.aliases)} of {version.model} points at it.")
    for advice in version.advice:
        note(f"Advice: {advice}")


def _read_manifest(file: Path | None, artifact: Path) -> dict[str, Any]:
    """Return a manifest as `Client.publish` takes it. Raises ConfigurationError."""
    if file is None:
        return {}
    manifest = read_json(read_bytes(file), str(file))
    if not isinstance(manifest, dict):
        raise ConfigurationError(f"{file} must hold a JSON object.")
    if unknown := sorted(manifest.keys() - FIELDS):
        raise ConfigurationError(f"{file} holds fields that no manifest has: {', '.join(unknown)}.")
    for name in MAPPINGS:
        if not isinstance(manifest.get(name, {}), dict):
            raise ConfigurationError(f"{name} of {file} must be an object.")
    _require_digest(manifest.pop("sha256", None), artifact)
    if "input_example" in manifest:
        manifest["example"] = manifest.pop("input_example")
    return manifest


def _require_digest(announced: Any, artifact: Path) -> None:
    if announced is None:
        return
    with artifact.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != announced:
        raise ConfigurationError(f"The manifest announces the digest {announced}, and {artifact} has {digest}.")

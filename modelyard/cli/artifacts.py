"""`modelyard download`: the bytes of a version, whole or not at all.

The client goes on where a download broke and checks the digest; nothing here touches the bytes.
"""

from __future__ import annotations

from pathlib import Path

import click

from modelyard.cli.asked import json_option
from modelyard.cli.connecting import selector_argument, with_client
from modelyard.cli.printing import print_document, say
from modelyard.client import Client


@click.command()
@selector_argument
@click.argument("path", type=click.Path(path_type=Path), default=".")
@json_option
@with_client
def download(client: Client, selector: str, path: Path, *, as_json: bool) -> None:
    """Download a version's artifact and verify its digest.

    PATH is a file, or a folder, by default the working folder. One that broke off goes on where it was when it is repeated. Prints
    where the file stands.

    Example: modelyard download churn@production churn.joblib
    """
    written = client.download(selector, path)
    if as_json:
        print_document({"path": str(written), "size_bytes": written.stat().st_size})
    else:
        say(written)

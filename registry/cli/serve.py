"""`modelyard serve`: prepare the instance folder, then become the host process.

Ends with one line when the folder or the port is taken. After this nothing in the process may start a thread that forks.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import click

from config import Config
from registry import __version__
from registry.cli.settings import read_config
from registry.host.supervisor import Supervisor
from registry.instance import Instance, InstanceLocked
from registry.observability import configure_logging


@click.command()
def serve() -> None:
    """Run this host until Ctrl-C or SIGTERM.

    Database, Valkey, workers and web processes; settings are variables, such as MODELYARD_PORT.

    Example: MODELYARD_PORT=9000 modelyard serve
    """
    config = read_config()
    configure_logging(config.log_level)
    instance = Instance(config)
    try:
        instance.prepare()
        instance.lock()  # held until this process ends, however it does
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or instance.folder} can't be used ({error.strerror}); see MODELYARD_INSTANCE_PATH."
        ) from None
    except InstanceLocked as held:
        raise click.ClickException(
            f"{instance.folder} is in use by process {held}; stop that one, or set MODELYARD_INSTANCE_PATH."
        ) from None
    require_port_free(config)
    instance.clear_run_folder()
    sys.exit(asyncio.run(Supervisor(config, instance).run(announce=lambda first_key: greet(config, instance, first_key))))


def require_port_free(config: Config) -> None:
    """End with one line when the address can't be listened on."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise click.ClickException(
                f"{config.host}:{config.port} can't be used ({error.strerror}); set MODELYARD_PORT or MODELYARD_HOST."
            ) from None


def greet(config: Config, instance: Instance, first_key: str | None) -> None:
    """Say where the service answers and can be looked at, and three commands that work as they stand."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.host, config.host)  # noqa: S104 - shown, not bound
    url = f"http://{host}:{config.port}"
    key_file = Path(instance.admin_key)
    lines = ["", f"Modelyard {__version__} answers at {url}"]
    if first_key:
        lines += [f"Admin key, shown this once and kept in {key_file} (mode 600):", f"  {first_key}"]
    if config.console:
        lines.append(f"Look at it in a browser, signed in with a key: {url}/console")
    bearer = f'-H "Authorization: Bearer $(cat {key_file})"' if key_file.exists() else '-H "Authorization: Bearer $MODELYARD_KEY"'
    lines += [
        "Try:",
        f"  curl {url}/health/ready",
        f"  curl {bearer} {url}/me",
        f"  curl {bearer} {url}/models",
        "",
    ]
    click.echo("\n".join(lines))
    sys.stdout.flush()
    with contextlib.suppress(OSError):
        sys.stdout.flush()

"""`modelyard login`: an address and a key, tried and then kept in a profile that only its owner can read.

The key comes from a prompt that doesn't show it, or from standard input; never from the command line, which others can see.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from modelyard.cli.asked import asked_of, json_option
from modelyard.cli.printing import print_document, say
from modelyard.client import Client
from modelyard.errors import ConfigurationError
from modelyard.profiles import DEFAULT_URL, URL, profile_file, read_profiles
from modelyard.records import ApiKey

FIRST_PROFILE = "default"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TABLE = re.compile(r"^\s*\[", re.MULTILINE)


@click.command()
@click.argument("url", required=False, envvar=URL)
@json_option
@click.pass_context
def login(ctx: click.Context, url: str | None, *, as_json: bool) -> None:
    """Keep a service's address and a key in a profile.

    URL is the address; without it --url, MODELYARD_URL or the profile's counts. The key is asked for and not shown, or is read from standard input. It is tried,
    and kept in ~/.config/modelyard.toml, which only you can read; 'modelyard --profile NAME login' keeps it under another name.

    Example: modelyard login https://models.example.org
    """
    asked = asked_of(ctx)
    content = read_profiles()
    name = asked.profile or content.get("default") or FIRST_PROFILE
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise click.UsageError("A profile's name has up to 64 letters, digits, - and _.")
    known = _known(content, name)
    from_environment = ctx.get_parameter_source("url") is ParameterSource.ENVIRONMENT
    given = None if from_environment else url
    address = given or asked.url or (known if asked.profile else None) or url or known or DEFAULT_URL
    text = _read_key(address)
    with Client(address, text) as client:
        key, address = client.me(), client.url
    write_profile(name, address, text)
    _tell(key, address, name, as_json=as_json)


def write_profile(name: str, url: str, key: str) -> Path:
    """Set a profile and leave everything else of the file as it stands. Raises ConfigurationError."""
    file = profile_file().resolve()
    before = read_profiles()
    _known(before, name)
    wanted = {"default": name} | before | {"profiles": {**before.get("profiles", {}), name: {"url": url, "key": key}}}
    text = _with_profile(file.read_text(encoding="utf-8") if file.exists() else "", name, url, key, has_default="default" in before)
    try:
        unequal = tomllib.loads(text) != wanted
    except tomllib.TOMLDecodeError:
        unequal = True
    if unequal:
        raise ConfigurationError(f"{file} is written in a way that can't be changed here: set url and key under [profiles.{name}] by hand.")
    _write_private(file, text)
    return file


def _known(content: dict[str, Any], name: str) -> str | None:
    """Return the address that a profile has, if there is one. Raises ConfigurationError for a file of another shape."""
    profiles = content.get("profiles", {})
    found = profiles.get(name, {}) if isinstance(profiles, dict) else None
    url = found.get("url") if isinstance(found, dict) else 0
    if not isinstance(url, str | None):
        raise ConfigurationError(f"{profile_file()} has no table [profiles.{name}] with url and key as texts: set it by hand.")
    return url


def _read_key(address: str) -> str:
    text = click.prompt(f"API key for {address}", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = str(text).strip()
    if not key:
        raise click.UsageError("There is no key on standard input.")
    return key


def _with_profile(text: str, name: str, url: str, key: str, *, has_default: bool) -> str:
    """Return the TOML with the profile's table replaced, or added at the end."""
    table = f"[profiles.{name}]\nurl = {_quoted(url)}\nkey = {_quoted(key)}\n"
    found = re.search(rf"^[ \t]*\[[ \t]*profiles[ \t]*\.[ \t]*{re.escape(name)}[ \t]*\][^\n]*(?:\n|\Z)", text, re.MULTILINE)
    if found is None:
        text = f"{text.rstrip()}\n\n{table}" if text.strip() else table
    else:
        following = _TABLE.search(text, found.end())
        rest = text[following.start() :] if following else ""
        text = text[: found.start()] + table + ("\n" + rest.lstrip("\n") if rest else "")
    return text if has_default else f"default = {_quoted(name)}\n\n{text}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write_private(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".modelyard-")  # of mode 600
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}.") from None


def _tell(key: ApiKey, url: str, name: str, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"profile": name, "url": url, "file": str(profile_file()), "key": dict(key.raw)}
        print_document(document)
    else:
        say(f"{url} knows this key as {key.name} ({', '.join(key.scopes)}). It is kept as profile {name} in {profile_file()}.")

"""Where the service's address and the API key come from: arguments, the environment, or a profile in a file.

The one place of the client that reads the environment. A key is never written anywhere but into the profile file, mode 600.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"
URL, KEY, PROFILE = "MODELYARD_URL", "MODELYARD_KEY", "MODELYARD_PROFILE"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is, and the key that is sent; no key is not an error before one is needed."""

    url: str
    key: str | None = field(repr=False)


def profile_file() -> Path:
    """Return the path of the profile file, whether it is there or not. Raises ConfigurationError where nobody has a home."""
    folder = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".config") / "modelyard.toml"
    except RuntimeError:
        raise ConfigurationError("There is no home folder with a profile; set MODELYARD_URL and MODELYARD_KEY.") from None


def read_address(url: str | None = None, key: str | None = None, profile: str | None = None) -> Address:
    """Return what to call. Raises ConfigurationError for a profile that isn't there, or a file that can't be read.

    Arguments come first, then the profile that an argument names, then MODELYARD_URL and MODELYARD_KEY, then the profile that
    MODELYARD_PROFILE names or the file's `default`. A key is only taken from where the address came from, so that none is sent
    to an address that it wasn't meant for; MODELYARD_KEY alone goes with any address.
    """
    if profile is not None:
        chosen = _profile(profile)
        return Address(url or chosen.url, key or (chosen.key if url is None else None))
    own_url, own_key = os.environ.get(URL) or None, os.environ.get(KEY) or None
    if url is not None or own_url is not None:
        return Address(url or own_url or DEFAULT_URL, key or own_key)
    chosen = _profile(os.environ.get(PROFILE) or None)
    return Address(chosen.url, key or own_key or chosen.key)


def names_an_address(url: str | None, profile: str | None) -> bool:
    """Tell whether an address was given by argument, or by the environment."""
    return any((url, profile, os.environ.get(URL), os.environ.get(PROFILE)))


def read_profiles() -> dict[str, Any]:
    """Return the profile file's content, or an empty dict where there is none. Raises ConfigurationError."""
    file = profile_file()
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} isn't valid TOML: {error}.") from None


def _profile(name: str | None) -> Address:
    """Return a profile; with no name the file's default, or the address of a service on this machine."""
    content = read_profiles()
    chosen = name or content.get("default")
    if chosen is None:
        return Address(DEFAULT_URL, None)
    profiles = content.get("profiles", {})
    found = profiles.get(chosen) if isinstance(profiles, dict) and isinstance(chosen, str) else None
    if not isinstance(found, dict):
        known = ", ".join(sorted(profiles)) if isinstance(profiles, dict) and profiles else "none"
        raise ConfigurationError(f"There is no profile {chosen!r} in {profile_file()}; there are: {known}.")
    url, key = found.get("url", DEFAULT_URL), found.get("key")
    if not isinstance(url, str) or not isinstance(key, str | None):
        raise ConfigurationError(f"In profile {chosen!r} of {profile_file()}, url and key must be texts.")
    return Address(url, key)

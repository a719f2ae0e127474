"""Make the secrets that the services of docker-compose.yml share, once, as files in two volumes.

Run by the compose file's first service on every start; what is there already is left alone, so that nothing that is
hashed or signed with it is lost. It prints no secret.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

DATABASE_URL = "postgresql://modelyard:{password}@database:5432/modelyard"


def make_secret(path: Path, text: str, mode: int) -> str:
    """Write `text` to `path` in one step unless the file exists, and return what the file says."""
    if not path.exists():
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, mode)  # whatever the umask is
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        unfinished.rename(path)
        print(f"made {path}")
    return path.read_text(encoding="ascii")


def main(service_folder: Path, database_folder: Path) -> None:
    """Make the service's secrets for its own user alone, and the database's password for the database's user."""
    # PostgreSQL's container runs as another user, and nothing but it and this script mounts this volume.
    password = make_secret(database_folder / "password", secrets.token_urlsafe(32), 0o444)
    make_secret(service_folder / "database_url", DATABASE_URL.format(password=password), 0o400)
    for name in ("key_pepper", "cache_secret"):
        make_secret(service_folder / name, secrets.token_urlsafe(32), 0o400)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

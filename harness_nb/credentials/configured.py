"""The provider that a project's settings describe: the same for every process that reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness_nb.credentials.provider import CredentialProvider

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.protocol.files import Config


def configured_provider(root: Path, config: Config) -> CredentialProvider:
    """Return the provider with the folder, the sources and the services of a project's settings."""
    folder = config.credentials_dir
    return CredentialProvider(
        root / os.path.expanduser(folder) if folder else None,  # noqa: PTH111 — nobody's home is no error here
        services=config.services,
        sources=config.credential_sources,
    )

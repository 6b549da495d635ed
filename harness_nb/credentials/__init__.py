"""Looking credentials up in ``.env`` files and other sources, and keeping their values out of text.

``python-dotenv`` is imported with the first file that is read, and ``keyring`` when it is first asked.
"""

from __future__ import annotations

from harness_nb.credentials.configured import configured_provider
from harness_nb.credentials.provider import CredentialProvider, lookup_credentials
from harness_nb.credentials.redaction import Redactor
from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.credentials.sources import Source
from harness_nb.protocol.credentials import CredentialEntry, CredentialResult, Service

__all__ = [
    "KNOWN_SERVICES",
    "CredentialEntry",
    "CredentialProvider",
    "CredentialResult",
    "Redactor",
    "Service",
    "Source",
    "configured_provider",
    "lookup_credentials",
]

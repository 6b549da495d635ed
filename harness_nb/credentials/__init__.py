"""Looking credentials up in ``.env`` files, and keeping their values out of text.

Everything here works on names and files; ``python-dotenv`` is imported with the first file that is read.
"""

from __future__ import annotations

from harness_nb.credentials.provider import CredentialProvider, lookup_credentials
from harness_nb.credentials.redaction import Redactor
from harness_nb.credentials.services import KNOWN_SERVICES
from harness_nb.protocol.credentials import CredentialResult, Service

__all__ = [
    "KNOWN_SERVICES",
    "CredentialProvider",
    "CredentialResult",
    "Redactor",
    "Service",
    "lookup_credentials",
]

"""The services whose variables and file names are known, as data."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from harness_nb.protocol.credentials import Service

if TYPE_CHECKING:
    from collections.abc import Mapping


def _service(variables: str, stems: str) -> Service:
    # without validation: building the model would cost every import of the package
    return Service.model_construct(variables=tuple(variables.split()), stems=tuple(stems.split()))


KNOWN_SERVICES: Final[Mapping[str, Service]] = MappingProxyType(
    {
        "postgres": _service(
            "DATABASE_URL PGPASSWORD PGUSER PGHOST PGPORT PGDATABASE", "postgres postgresql database db"
        ),
        "redis": _service("REDIS_URL REDIS_HOST REDIS_PORT REDIS_PASSWORD", "redis"),
        "supabase": _service("SUPABASE_URL SUPABASE_KEY SUPABASE_SERVICE_KEY SUPABASE_ANON_KEY", "supabase"),
        "stripe": _service("STRIPE_SECRET_KEY STRIPE_PUBLISHABLE_KEY STRIPE_WEBHOOK_SECRET STRIPE_API_KEY", "stripe"),
        "openai": _service("OPENAI_API_KEY OPENAI_ORG_ID", "openai gpt"),
        "anthropic": _service("ANTHROPIC_API_KEY", "anthropic claude"),
        "aws": _service("AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION", "aws amazon"),
        "github": _service("GITHUB_TOKEN GITHUB_API_TOKEN GH_TOKEN", "github gh"),
        "sendgrid": _service("SENDGRID_API_KEY", "sendgrid"),
        "twilio": _service("TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN TWILIO_PHONE_NUMBER", "twilio"),
        "vercel": _service("VERCEL_TOKEN VERCEL_ORG_ID VERCEL_PROJECT_ID", "vercel"),
        "cloudflare": _service("CLOUDFLARE_API_TOKEN CLOUDFLARE_ACCOUNT_ID CLOUDFLARE_ZONE_ID", "cloudflare cf"),
    }
)
"""The twelve services of the protocol; ``CredentialProvider(services=…)`` adds to them or replaces one."""

"""A made-up environment of the platform, as Upsun's documentation describes it for a running container."""

import base64
import json
from typing import Any

HOST = "main-bvxea6i-ab12cd34ef56g.eu-5.platformsh.site"
ROUTES = {
    f"https://{HOST}/": {"primary": True, "type": "upstream", "upstream": "tallybox"},
    f"https://www.{HOST}/": {"primary": False, "type": "redirect", "to": f"https://{HOST}/"},
    f"http://{HOST}/": {"primary": False, "type": "redirect", "to": f"https://{HOST}/"},
    f"http://www.{HOST}/": {"primary": False, "type": "redirect", "to": f"https://www.{HOST}/"},
}
POSTGRESQL = {"scheme": "pgsql", "host": "postgresql.internal", "port": 5432, "path": "main", "username": "main"}
REDIS = {"scheme": "redis", "host": "redis.internal", "port": 6379, "path": None, "username": None, "password": None}


def at_build(**more: str) -> dict[str, str]:
    return {
        "PLATFORM_APPLICATION_NAME": "tallybox",
        "PLATFORM_PROJECT": "ab12cd34ef56g",
        "PLATFORM_PROJECT_ENTROPY": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOPQRSTUVWX",
        "PLATFORM_TREE_ID": "f00dcafe" * 5,
        **more,
    }


def at_run(**more: str) -> dict[str, str]:
    """Return what a container of production has, with both of its services."""
    services = {**endpoint("postgresql", **POSTGRESQL, password="main"), **endpoint("redis", **REDIS)}
    return without_services(**{**services, **more})


def without_services(**more: str) -> dict[str, str]:
    return at_build(
        **{
            "PLATFORM_BRANCH": "main",
            "PLATFORM_ENVIRONMENT": "main-bvxea6i",
            "PLATFORM_ENVIRONMENT_TYPE": "production",
            "PLATFORM_SMTP_HOST": "smtp.internal",
            "PLATFORM_ROUTES": encoded(ROUTES),
            **more,
        }
    )


def endpoint(relationship: str, **properties: Any) -> dict[str, str]:
    """Return a relationship's variables: one for each property, and the platform's own URL."""
    texts = {name: "" if value is None else str(value) for name, value in properties.items()}
    url = f"{properties['scheme']}://{properties['host']}:{properties['port']}"
    return {f"{relationship}_{name}".upper(): text for name, text in {**texts, "url": url}.items()}


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()

"""The server and the credentials that `cargo xtask clients` passes on."""

import os
import uuid

import httpx
import pytest

URL = os.environ["ROLLCALL_URL"]
ORGANIZATION = os.environ["ROLLCALL_ORGANIZATION"]
# Mode live.
API_KEY = os.environ["ROLLCALL_API_KEY"]
READ_KEY = os.environ["ROLLCALL_READ_KEY"]
SERVICE_KEY = os.environ["ROLLCALL_SERVICE_KEY"]
# Mode test, with the prefix that uniqos requires.
UNIQ_KEY = os.environ["ROLLCALL_UNIQ_KEY"]
# Empty if the server trusts another issuer.
SESSION_TOKEN = os.environ["ROLLCALL_SESSION_TOKEN"]


@pytest.fixture
def unique():
    """A new name, with what must survive a path: a slash, a space, an at sign, a percent sign and an emoji."""
    return f"{uuid.uuid4().hex}/a b@c%2F🦀"


def by_http(method, path, key=API_KEY, **options):
    """A call that no client makes, such as a turn with an affect."""
    response = httpx.request(method, URL + path, headers={"Authorization": f"Bearer {key}"}, **options)
    response.raise_for_status()
    return response.json()

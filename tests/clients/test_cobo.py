"""cobo-agentic-wallet: principals, by its asynchronous client and by the generated one.

The generated methods promise models, and this version returns the decoded body instead. So the tests have its models
read the body.
"""

import asyncio
from datetime import datetime

import pytest
import sonzai
from cobo_agentic_wallet.client import WalletAPIClient
from cobo_agentic_wallet.errors import APIError, AuthenticationError
from cobo_agentic_wallet_api.api.health_api import HealthApi
from cobo_agentic_wallet_api.api.identity_api import IdentityApi
from cobo_agentic_wallet_api.api_client import ApiClient
from cobo_agentic_wallet_api.configuration import Configuration
from cobo_agentic_wallet_api.models.principal_create import PrincipalCreate
from cobo_agentic_wallet_api.models.principal_type import PrincipalType
from cobo_agentic_wallet_api.models.principal_update import PrincipalUpdate
from cobo_agentic_wallet_api.models.standard_response_list_principal_read import StandardResponseListPrincipalRead
from cobo_agentic_wallet_api.models.standard_response_principal_create_result import (
    StandardResponsePrincipalCreateResult,
)
from cobo_agentic_wallet_api.models.standard_response_principal_read import StandardResponsePrincipalRead

from conftest import API_KEY, SERVICE_KEY, URL, by_http


def call(action, service_key=SERVICE_KEY):
    """What the action makes of the asynchronous client."""

    async def run():
        async with WalletAPIClient(base_url=URL, service_auth_key=service_key, allow_unauthenticated=True) as client:
            return await action(client)

    return asyncio.run(run())


class Identity:
    """The generated client, with the models that its methods promise."""

    def __init__(self, client):
        self.api = IdentityApi(client)

    def create_principal(self, external_id, kind, name):
        principal = PrincipalCreate(external_id=external_id, type=kind, name=name)
        return StandardResponsePrincipalCreateResult.from_dict(self.api.create_principal(principal))

    def list_principals(self, **query):
        return StandardResponseListPrincipalRead.from_dict(self.api.list_principals(**query))

    def update_principal(self, principal_id, name):
        change = PrincipalUpdate(name=name)
        return StandardResponsePrincipalRead.from_dict(self.api.update_principal(principal_id, change))


@pytest.fixture
def identity():
    configuration = Configuration(host=URL, api_key="")
    configuration.service_auth_key = SERVICE_KEY
    with ApiClient(configuration) as client:
        yield Identity(client)


def test_create_principal(unique):
    metadata = {"plan": "pro", "tags": ["a"]}
    made = call(lambda client: client.create_principal(unique, PrincipalType.HUMAN, "Ada", metadata))
    assert made["created"] is True
    assert (made["external_id"], made["type"], made["name"], made["metadata"]) == (unique, "human", "Ada", metadata)
    assert (made["is_temporary"], made["owner_principal_id"], made["onboarding_session_id"]) == (False, None, None)
    assert datetime.fromisoformat(made["created_at"]) == datetime.fromisoformat(made["updated_at"])
    # What is there stays as it is.
    again = call(lambda client: client.create_principal(unique, PrincipalType.HUMAN, "Bob"))
    assert again == {**made, "created": False}
    # A human is the end user of this id.
    assert by_http("GET", f"/v1/end-users?limit=1&user_id_prefix={unique[:32]}")["data"][0]["display_name"] == "Ada"
    with pytest.raises(APIError) as conflict:
        call(lambda client: client.create_principal(unique, PrincipalType.AGENT, "Ada"))
    assert conflict.value.status_code == 409
    assert conflict.value.response_body["success"] is False


def test_create_principal_by_the_generated_client(identity, unique):
    made = identity.create_principal(unique, PrincipalType.AGENT, "Bot")
    assert made.success is True
    assert (made.result.created, made.result.external_id, made.result.name) == (True, unique, "Bot")
    assert made.result.type is PrincipalType.AGENT
    assert made.result.created_at.utcoffset().total_seconds() == 0
    # The agent is one in the other dialect.
    with sonzai.Sonzai(api_key=API_KEY, base_url=URL) as client:
        assert client.agents.get(made.result.id).external_id == unique


def test_list_principals(identity, unique):
    made = [identity.create_principal(f"{unique} {n}", PrincipalType.HUMAN, f"Ada {n}") for n in range(3)]
    listed, after = [], None
    while True:
        page = identity.list_principals(limit=2, after=after, type=PrincipalType.HUMAN)
        assert page.success is True
        assert (page.meta.total, page.meta.offset, page.meta.limit) == (None, None, None)
        assert all(principal.type is PrincipalType.HUMAN for principal in page.result)
        listed += [principal.id for principal in page.result]
        if not page.meta.has_more:
            break
        after = page.meta.after
    ids = [principal.result.id for principal in made]
    # In the order of their making.
    assert [principal for principal in listed if principal in ids] == ids
    back = identity.list_principals(limit=1, before=page.meta.before, type=PrincipalType.HUMAN)
    assert len(back.result) == 1
    assert back.result[0].id not in [principal.id for principal in page.result]
    everyone = call(lambda client: client.list_principals(limit=200))
    assert {"Ada 0", "Ada 1", "Ada 2"} <= {principal["name"] for principal in everyone}


def test_list_principals_by_offset(identity, unique):
    identity.create_principal(unique, PrincipalType.HUMAN, "Ada")
    total = identity.list_principals(limit=1, offset=0).meta.total
    last = identity.list_principals(limit=10, offset=total - 1)
    assert [principal.external_id for principal in last.result] == [unique]
    assert (last.meta.total, last.meta.offset, last.meta.limit, last.meta.has_more) == (total, total - 1, 10, False)


def test_update_principal(identity, unique):
    made = call(lambda client: client.create_principal(unique, PrincipalType.HUMAN, "Ada", {"plan": "pro"}))
    changed = call(lambda client: client.update_principal(made["id"], PrincipalUpdate(name="Ada Lovelace")))
    assert (changed["id"], changed["name"], changed["metadata"]) == (made["id"], "Ada Lovelace", {"plan": "pro"})
    again = identity.update_principal(made["id"], "Ada L.")
    assert again.result.name == "Ada L."
    assert again.result.updated_at > again.result.created_at


def test_an_agent_without_an_external_id(identity, unique):
    """The model requires a text. The agent's name stands in its place."""
    with sonzai.Sonzai(api_key=API_KEY, base_url=URL) as client:
        agent = client.agents.create(name=unique)
    page = identity.list_principals(limit=200, type=PrincipalType.AGENT)
    [principal] = [principal for principal in page.result if principal.id == agent.agent_id]
    assert (principal.external_id, principal.name) == (unique, unique)


def test_health_check():
    health = call(lambda client: client.health_check())
    assert health["status"] == "ok"
    with ApiClient(Configuration(host=URL, api_key="")) as client:
        assert HealthApi(client).health_check() == health


def test_errors(unique):
    with pytest.raises(APIError) as invalid:
        # The client checks nothing but the length.
        call(lambda client: client.create_principal("..", PrincipalType.HUMAN, "Ada"))
    assert invalid.value.status_code == 422
    assert [fault["loc"] for fault in invalid.value.response_body["error"]["detail"]] == [["body", "external_id"]]
    with pytest.raises(AuthenticationError):
        call(lambda client: client.list_principals(), service_key="sk_live_unknown00")

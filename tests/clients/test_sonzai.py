"""sonzai: agents, their users with metadata and mood, and the person who is signed in."""

import asyncio
import uuid
from datetime import datetime, timedelta, timezone

import httpx
import pydantic
import pytest
import sonzai
from sonzai._generated.resources.users import Users

from conftest import API_KEY, ORGANIZATION, READ_KEY, SESSION_TOKEN, URL, by_http

AFFECT = {"valence": 0.8, "arousal": 0.6, "tension": -0.2, "affiliation": 0.4}


@pytest.fixture
def client():
    with sonzai.Sonzai(api_key=API_KEY, base_url=URL) as client:
        yield client


@pytest.fixture
def agent(client):
    return client.agents.create(name=f"Luna {uuid.uuid4().hex}")


@pytest.fixture
def signed_in():
    if not SESSION_TOKEN:
        pytest.skip("the server trusts another issuer of session tokens")
    with sonzai.Sonzai(api_key=SESSION_TOKEN, base_url=URL) as client:
        yield client


def meet(agent, user_id, **affect):
    """Makes the user, who says something to the agent."""
    body = {"message": "Hello", "personality_id": agent.agent_id, "user_id": user_id, **affect}
    by_http("POST", "/v1/respond", json=body)


def is_now(instant):
    return abs(datetime.now(timezone.utc) - instant) < timedelta(minutes=5)


def faults(error):
    """The members that a model lacks, and those that it does not know."""
    kinds = {"missing": set(), "extra_forbidden": set()}
    for fault in error.value.errors():
        kinds[fault["type"]].add(fault["loc"][0])
    return kinds


def test_create_and_get(client):
    name = f"Luna {uuid.uuid4().hex}"
    made = client.agents.create(name=name)
    assert made.name == name
    assert str(uuid.UUID(made.agent_id)) == made.agent_id
    assert is_now(datetime.fromisoformat(made.created_at))
    # By name: the same agent.
    assert client.agents.create(name=name).agent_id == made.agent_id
    by_http("PATCH", f"/api/v1/agents/{made.agent_id}", json={"metadata": {"voice": "low"}})
    read = client.agents.get(made.agent_id)
    assert (read.agent_id, read.name, read.created_at) == (made.agent_id, name, made.created_at)
    # The model keeps members that it does not know.
    assert read.metadata == {"voice": "low"}
    assert read.external_id is None


def test_list(client):
    made = [client.agents.create(name=f"Luna {uuid.uuid4().hex}") for _ in range(3)]
    listed = {entry.agent_id: entry for entry in client.agents.list(page_size=2)}
    for agent in made:
        entry = listed[agent.agent_id]
        assert entry.name == agent.name
        assert entry.created_at == datetime.fromisoformat(agent.created_at)
        assert (entry.instance_count, entry.is_active, entry.owner_user_id) == (1, True, "")
        assert entry.tenant_id == ORGANIZATION


def test_list_agents(client, agent):
    page = client.agents.list_agents(page_size=500)
    assert str(page.field_schema) == f"{URL}/api/v1/schemas/AgentList.json"
    assert (page.total_count, page.has_more, page.next_cursor) == (len(page.items), False, None)
    assert agent.name in [entry.name for entry in page.items]
    client.agents.create(name=f"Luna {uuid.uuid4().hex}")
    first = client.agents.list_agents(page_size=1)
    assert first.has_more
    second = client.agents.list_agents(page_size=1, cursor=first.next_cursor)
    assert len(first.items) == len(second.items) == 1
    assert first.items[0].agent_id != second.items[0].agent_id


def test_get_users(client, agent, unique):
    # In byte order.
    users = [f"{unique} {n}" for n in range(3)]
    metadata = {"email": "ada@example.com", "phone": "+44", "plan": "pro", "seats": 12345678901234567890}
    by_http("POST", "/v1/end-users", json={"user_id": users[0], "display_name": "Ada", "metadata": metadata})
    for user_id in reversed(users[:2]):
        meet(agent, user_id, affect=AFFECT)
    meet(agent, users[2])
    entries = client.agents.get_users(agent.agent_id, page_size=2).to_list()
    assert [entry.user_id for entry in entries] == users
    ada = entries[0]
    assert (ada.display_name, ada.role) == ("Ada", "user")
    assert (ada.metadata.email, ada.metadata.phone) == ("ada@example.com", "+44")
    assert ada.metadata.custom == {"plan": "pro", "seats": "12345678901234567890"}
    assert is_now(datetime.fromisoformat(ada.created_at)) and is_now(datetime.fromisoformat(ada.last_interaction_at))
    check_mood(ada.mood, agent, users[0])
    # Nothing is known of a mood that no turn has moved.
    assert entries[2].mood is None


def check_mood(mood, agent, user_id):
    assert (mood.agent_id, mood.user_id) == (agent.agent_id, user_id)
    # A turn moves a mood towards its affect.
    for level, felt in AFFECT.items():
        assert 0 < getattr(mood, level) / felt <= 1, level
        assert getattr(mood, f"baseline_{level}") == getattr(mood, f"user_baseline_{level}") == 0.0
    assert mood.label == "excited"
    assert mood.created_at <= mood.updated_at <= mood.last_decay_at
    assert is_now(mood.last_interaction_at)


def test_get_users_async(agent, unique):
    meet(agent, unique, affect=AFFECT)

    async def users():
        async with sonzai.AsyncSonzai(api_key=API_KEY, base_url=URL) as client:
            page = await client.agents.get_users(agent.agent_id)
            return await page.to_list()

    [entry] = asyncio.run(users())
    check_mood(entry.mood, agent, unique)


def test_list_users(client, agent, unique):
    for user_id in ["ada", "bob"]:
        meet(agent, f"{unique} {user_id}", affect=AFFECT)
    users = Users(client._http)
    page = users.list_users(agent.agent_id, page_size=1)
    assert str(page.field_schema) == f"{URL}/api/v1/schemas/AgentUserList.json"
    assert page.has_more
    check_mood(page.users[0].mood, agent, f"{unique} ada")
    last = users.list_users(agent.agent_id, page_size=1, cursor=page.next_cursor)
    assert (last.has_more, last.next_cursor) == (False, None)
    assert [entry.user_id for entry in last.users] == [f"{unique} bob"]


def test_other_versions_get_what_their_models_have(agent, unique):
    """The versions before 1.5.3 refuse the members that later ones require."""
    meet(agent, unique, affect=AFFECT)
    baselines = {f"user_baseline_{level}" for level in AFFECT}
    for user_agent, more in [("sonzai-python/1.5.2", set()), ("sonzai-python/1.5.3", baselines), ("curl/8.5.0", set())]:
        headers = {"Authorization": f"Bearer {API_KEY}", "User-Agent": user_agent}
        page = httpx.get(f"{URL}/api/v1/agents/{agent.agent_id}/users", headers=headers).json()
        mood = page["users"][0]["mood"]
        assert len(mood) == 15 + len(more) and more <= mood.keys()
        assert page["$schema"].startswith(URL) == user_agent.startswith("sonzai")


def test_delete(client, agent):
    receipt = client.agents.delete(agent.agent_id)
    assert receipt.success is True
    assert receipt.status == "deletion_pending"
    assert by_http("GET", f"/v1/deletions/{receipt.deletion_id}")["cascade"] == "all"
    with pytest.raises(sonzai.NotFoundError):
        client.agents.get(agent.agent_id)


def test_me(signed_in):
    me = signed_in.org.me()
    assert (me["user_id"], me["email"]) == ("user_demo", "demo@example.com")
    assert [organization["slug"] for organization in me["orgs"]] == ["demo"]


def test_get_my_org(signed_in):
    me = Users(signed_in._http).get_my_org()
    assert (me.user_id, me.email) == ("user_demo", "demo@example.com")
    assert str(me.field_schema) == f"{URL}/api/v1/schemas/Me.json"
    [organization] = me.orgs
    assert (organization.id, organization.name, organization.slug) == ("org_demo", "Demo", "demo")
    assert organization.member_count == 1


def test_errors(client, agent):
    with pytest.raises(sonzai.NotFoundError) as missing:
        client.agents.get(str(uuid.uuid4()))
    # The members of a problem that the client has no attribute for.
    assert missing.value.body.status == 404
    for refused in [
        lambda: client.agents.get_users(agent.agent_id, page_size=501).to_list(),
        lambda: client.agents.list(search="Luna").to_list(),
        lambda: client.agents.create(name="Luna", bio="A tutor"),
    ]:
        with pytest.raises(sonzai.ValidationError):
            refused()
    with sonzai.Sonzai(api_key="sk_live_unknown00", base_url=URL) as stranger:
        with pytest.raises(sonzai.AuthenticationError):
            stranger.agents.list().to_list()
    with sonzai.Sonzai(api_key=READ_KEY, base_url=URL) as reader:
        assert reader.agents.get(agent.agent_id).name == agent.name
        with pytest.raises(sonzai.PermissionDeniedError):
            reader.agents.create(name="Luna")


def test_what_its_models_refuse(client, agent):
    """These send what `create`, `get` and `delete` send, and the server does it. Only their models are others."""
    lacks = {"instance_count", "is_active", "owner_user_id", "tenant_id"}
    refused = {"missing": lacks, "extra_forbidden": {"external_id", "metadata", "updated_at"}}
    with pytest.raises(pydantic.ValidationError) as error:
        client.agents.get_agent(agent.agent_id)
    assert faults(error) == refused
    name = f"Luna {uuid.uuid4().hex}"
    with pytest.raises(pydantic.ValidationError) as error:
        client.agents.create_agent(name=name)
    assert faults(error) == refused
    assert client.agents.get(name).name == name
    with pytest.raises(pydantic.ValidationError) as error:
        client.agents.delete_agent(agent.agent_id)
    assert faults(error) == {"missing": {"deleted", "errors"}, "extra_forbidden": {"deletion_id"}}

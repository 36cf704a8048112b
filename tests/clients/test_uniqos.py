"""uniqos: end users, turns, relationships, deletions and usage. Its answers are dictionaries; its events and errors
have types."""

import asyncio
import time

import pytest
import uniqos

from conftest import UNIQ_KEY, URL, by_http


@pytest.fixture
def client():
    with uniqos.UniqOS(api_key=UNIQ_KEY, base_url=URL) as client:
        yield client


@pytest.fixture
def agent(unique):
    return by_http("POST", "/api/v1/agents", UNIQ_KEY, json={"name": f"Tutor {unique}"})["agent_id"]


def completed(client, deletion_id):
    """The receipt of an erasure when it is done."""
    for _ in range(150):
        receipt = client.deletions.get(deletion_id)
        if receipt["status"] == "completed":
            return receipt
        time.sleep(0.2)
    raise AssertionError(f"not completed: {receipt}")


def test_create_and_get(client, unique):
    assert client.environment == "test"
    metadata = {"plan": "pro", "seats": 12345678901234567890, "tags": ["a", {"b": None}]}
    made = client.end_users.create({"user_id": unique, "display_name": "Ada", "metadata": metadata})
    assert (made["user_id"], made["display_name"], made["metadata"]) == (unique, "Ada", metadata)
    assert made["status"] == "active"
    # What is there stays as it is.
    assert client.end_users.create({"user_id": unique, "metadata": {}}) == made
    read = client.end_users.get(unique)
    assert read == {**made, "relationships": [], "relationships_has_more": False}


def test_list(client, unique):
    users = [f"{unique} {n}" for n in range(3)]
    for user_id in users:
        client.end_users.create({"user_id": user_id})
    listed, query = [], {"limit": 2, "user_id_prefix": unique, "order": "desc"}
    while True:
        page = client.end_users.list(query)
        listed += [user["user_id"] for user in page["data"]]
        if not page["next_cursor"]:
            break
        query["cursor"] = page["next_cursor"]
    assert listed == users[::-1]
    assert page["has_more"] is False


def test_update(client, unique):
    made = client.end_users.create({"user_id": unique, "metadata": {"a": 1, "b": 2}})
    changed = client.end_users.update(unique, {"metadata": {"c": 3}})
    assert changed["metadata"] == {"c": 3}
    assert changed["version"] > made["version"]
    assert client.end_users.update(unique, {"metadata": {}})["metadata"] == {}
    assert client.end_users.get(unique)["metadata"] == {}


def test_export(client, agent, unique):
    client.end_users.create({"user_id": unique, "metadata": {"plan": "pro"}})
    client.respond(personality_id=agent, message="Hello", user_id=unique)
    document = client.end_users.export(unique)
    assert document["end_user"]["user_id"] == unique
    assert document["end_user"]["metadata"] == {"plan": "pro"}
    assert [relationship["personality_id"] for relationship in document["relationships"]] == [agent]


def test_delete(client, unique):
    client.end_users.create({"user_id": unique})
    part = client.end_users.delete(unique, cascade="model_only", reason="asked for")
    assert part["status"] == "partial_deletion_pending"
    receipt = completed(client, part["deletion_id"])
    assert (receipt["cascade"], receipt["reason"]) == ("model_only", "asked for")
    assert client.end_users.get(unique)["status"] == "active"
    whole = client.end_users.delete(unique)
    assert whole["status"] == "deletion_pending"
    receipt = completed(client, whole["deletion_id"])
    assert (receipt["cascade"], receipt["reason"], receipt["erased"]["records"]) == ("all", None, 1)
    with pytest.raises(uniqos.NotFoundError):
        client.end_users.get(unique)


def test_respond(client, agent, unique):
    used = client.billing.usage.turns()["used"]
    active = client.billing.usage.active_relationships()["used"]
    turn = client.respond(
        personality_id=agent, message="Hello", user_id=unique, mode="stateful", context={"page": "home"},
        idempotency_key=unique[:32],
    )
    assert "Hello" in turn["response"]
    assert turn["usage"]["turns_consumed"] == 1
    assert turn["usage"]["active_relationship_counted"] is True
    assert (turn["usage"]["llm_provider"], turn["usage"]["llm_model"]) == ("echo", "echo")
    # The same key is answered as the first time, and not counted again.
    repeated = client.respond(
        personality_id=agent, message="Hello", user_id=unique, mode="stateful", context={"page": "home"},
        idempotency_key=unique[:32],
    )
    assert repeated == turn
    alone = client.engine.respond(personality_id=agent, message="Hello", mode="stateless")
    assert alone["usage"]["active_relationship_counted"] is False
    turns = client.billing.usage.turns()
    assert turns["used"] == used + 2
    assert turns["limit"] == 1_000_000_000
    assert turns["period_start"] < turns["resets_at"]
    assert client.billing.usage.active_relationships()["used"] == active + 1
    assert client.end_users.get(unique)["relationships"][0]["turns"] == 1


def check_events(events):
    metadata, *texts, completion = events
    assert isinstance(metadata, uniqos.StreamEventMetadata)
    assert metadata.interaction_id and metadata.inferred_emotional_state is None
    assert (metadata.memory.consulted, metadata.memory.summary_used) == (False, "none")
    assert all(isinstance(text, uniqos.StreamEventText) for text in texts)
    assert "Hello" in "".join(text.delta for text in texts)
    assert isinstance(completion, uniqos.StreamEventCompletion)
    assert (completion.memory.summary_used, completion.guardrails.applied) == ("none", [])
    assert (completion.usage.turns_consumed, completion.usage.active_relationship_counted) == (1, True)
    assert completion.usage.llm_provider == "echo"
    assert completion.latency_ms >= 0


def test_stream(client, agent, unique):
    check_events(list(client.respond(personality_id=agent, message="Hello", user_id=unique, stream=True)))


def test_stream_async(agent, unique):
    async def events():
        async with uniqos.AsyncUniqOS(api_key=UNIQ_KEY, base_url=URL) as client:
            stream = client.respond(personality_id=agent, message="Hello", user_id=unique, stream=True)
            return [event async for event in stream]

    check_events(asyncio.run(events()))


def test_relationships(client, agent, unique):
    client.respond(personality_id=agent, message="Hello", user_id=unique)
    page = client.relationships.list({"user_id": unique, "personality_id": agent})
    [relationship] = page["data"]
    assert (relationship["user_id"], relationship["personality_id"]) == (unique, agent)
    assert (relationship["turns"], relationship["role"], relationship["mood"]) == (1, "user", None)
    assert client.relationships.get(relationship["id"]) == relationship
    forgotten = client.relationships.delete(relationship["id"], cascade="memory_only", reason="asked for")
    assert completed(client, forgotten["deletion_id"])["reason"] == "asked for"
    assert client.relationships.get(relationship["id"])["turns"] == 0
    gone = client.relationships.delete(relationship["id"])
    assert completed(client, gone["deletion_id"])["erased"]["relationships"] == 1
    with pytest.raises(uniqos.NotFoundError):
        client.relationships.get(relationship["id"])


def test_mood(client, agent, unique):
    affect = {"valence": 0.8, "arousal": 0.6}
    body = {"message": "Hello", "personality_id": agent, "user_id": unique, "affect": affect}
    by_http("POST", "/v1/respond", UNIQ_KEY, json=body)
    [relationship] = client.relationships.list({"user_id": unique})["data"]
    assert len(relationship["mood"]) == 15
    assert relationship["mood"]["label"] == "excited"
    assert 0 < relationship["mood"]["valence"] <= 0.8


def test_errors(client, agent, unique):
    with pytest.raises(uniqos.NotFoundError) as missing:
        client.end_users.get(unique)
    assert (missing.value.code, missing.value.http_status) == ("not_found", 404)
    assert len(missing.value.request_id) == 26
    with pytest.raises(uniqos.ValidationError) as invalid:
        client.end_users.create({"user_id": "", "unknown": 1})
    assert {field["path"] for field in invalid.value.details["fields"]} == {"user_id", "unknown"}
    stranger = UNIQ_KEY[:-1] + ("a" if UNIQ_KEY[-1] != "a" else "b")
    with uniqos.UniqOS(api_key=stranger, base_url=URL) as client:
        with pytest.raises(uniqos.AuthenticationError) as unknown:
            client.end_users.list()
    assert unknown.value.code == "invalid_token"


def test_what_a_turn_does_not_take(client, agent):
    """Rollcall has none of these, and says so instead of leaving them out."""
    for option, value in [("return_format", "text"), ("guardrails_behavior", "block"), ("llm_override", {"model": "x"})]:
        with pytest.raises(uniqos.ValidationError) as invalid:
            client.respond(personality_id=agent, message="Hello", **{option: value})
        assert [field["path"] for field in invalid.value.details["fields"]] == [option]
    with pytest.raises(uniqos.ValidationError):
        client.billing.usage.turns({"period": "2026-11"})

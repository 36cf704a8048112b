"""What a schema cannot say: rules between fields, and values that only a server gives out.

Valid requests are made to keep them, so that every refusal of one is a finding. What is wrong on
purpose is left as it is.
"""

import base64
import hashlib
import hmac
import os
import time
import uuid

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import EnsureResourceAvailability, UseAfterFree

API_KEY = os.environ["ROLLCALL_API_KEY"]
# Its keys and limits must stay, or everything else would be refused.
ORGANIZATION = os.environ["ROLLCALL_ORGANIZATION"]
WEBHOOK_SECRET = base64.b64decode(os.environ["ROLLCALL_WEBHOOK_SECRET"].removeprefix("whsec_"))
# The credential of a webhook, until it is known what there is to sign.
TO_BE_SIGNED = "to be signed"

# Ids of relationships that are or were there.
relationships = set()
# Ids of cases by which a part was erased, and the rest stays.
partial_erasures = set()


class Svix(requests.auth.AuthBase):
    """Signs an event of Clerk's when it is about to be sent."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        delivery, now = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
        signed = hmac.new(WEBHOOK_SECRET, f"{delivery}.{now}.".encode() + body, hashlib.sha256).digest()
        request.headers["svix-id"] = delivery
        request.headers["svix-timestamp"] = now
        request.headers["svix-signature"] = "v1," + base64.b64encode(signed).decode()
        return request


def ask(case, method, path, **request):
    """An answer to a request of our own, which must be a good one."""
    url, headers = case.operation.base_url.rstrip("/") + path, {"Authorization": f"Bearer {API_KEY}"}
    answer = requests.request(method, url, headers=headers, timeout=30, **request)
    answer.raise_for_status()
    return answer.json()


def agent(case):
    """The id of an agent that is there, whatever became of the last one."""
    wanted = {"name": "Tutor", "external_id": "an agent to talk with"}
    return ask(case, "POST", "/api/v1/agents", json=wanted)["agent_id"]


def relationship(case):
    """The id of a relationship that is there."""
    user_id = str(uuid.uuid4())
    turn = {"message": "How are you?", "personality_id": agent(case), "user_id": user_id}
    ask(case, "POST", "/v1/respond", json=turn)
    page = ask(case, "GET", "/v1/relationships", params={"user_id": user_id})
    return page["data"][0]["id"]


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    headers = case.headers or {}
    if headers.get("svix-signature") == TO_BE_SIGNED:
        kwargs["auth"] = Svix()
    if "Idempotency-Key" in headers and not (meta and meta.is_negative_at(ParameterLocation.HEADER)):
        # One key is for one request; a second would be refused for that alone.
        headers["Idempotency-Key"] = str(uuid.uuid4())
    path = case.path_parameters or {}
    if case.method in ("PATCH", "DELETE") and path.get("organization_id") == ORGANIZATION:
        # There is none with this id.
        path["organization_id"] = "0" * 26
    if meta is not None and meta.generation.mode.is_negative:
        return
    # Only an answer tells the version of a record.
    headers.pop("If-Match", None)
    query = case.query or {}
    # Cursors are given out; and only one of these may be given.
    for name in ("cursor", "after", "before"):
        query.pop(name, None)
    # Waiting costs the time of the run.
    query.pop("wait", None)
    if query.get("order_by") == "created_at":
        query.pop("user_id_prefix", None)
    else:
        query.pop("created_after", None)
        query.pop("created_before", None)
    if path.get("relationship_id", "") not in {"", *relationships}:
        # A link leads to one that is there, at first; anything else leads nowhere.
        path["relationship_id"] = relationship(case)
        relationships.add(path["relationship_id"])
    if isinstance(case.body, dict):
        # An expiry must lie in the future.
        if case.body.get("expires_at"):
            case.body["expires_at"] = "2999-12-31T23:59:59Z"
        # Only an agent has an owner, and the owner must be an existing human.
        if case.body.get("owner_principal_id"):
            case.body.pop("owner_principal_id")
        # A stateful turn needs a user.
        if case.body.get("mode") == "stateful" and not case.body.get("user_id"):
            case.body.pop("mode")
        # A turn needs an existing agent.
        if "personality_id" in case.body:
            case.body["personality_id"] = agent(case)


# A row that is faulty has a result of its own.
ROWS = ("POST /v1/end-users/batch", "POST /admin/v1/organizations/{organization_id}/import")


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.label == "GET /v1/relationships" and response.status_code == 200:
        relationships.update(entry["id"] for entry in response.json()["data"])
    if case.method == "DELETE" and response.status_code == 202:
        if response.json().get("status") == "partial_deletion_pending":
            partial_erasures.add(case.id)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    label, status = case.operation.label, response.status_code
    if isinstance(failure, AcceptedNegativeData) and label in ROWS and status == 200:
        return all(row["status"] != 422 for row in response.json()["results"])
    if isinstance(failure, UseAfterFree) and failure.deleted_case_id in partial_erasures:
        # A partial erasure leaves the resource, which can be read and changed.
        return False
    if isinstance(failure, UseAfterFree) and label.startswith("GET /v1/end-users/{user_id}"):
        # An erasure takes time. A read during the erasure says so.
        user = response.json().get("end_user", response.json())
        return user["status"] != "deletion_pending"
    if isinstance(failure, EnsureResourceAvailability) and label.startswith("GET ") and label.endswith("/repair"):
        # The link leads to a new organization, which has had no repair.
        return response.json()["detail"] != "There is no such repair."
    return True

"""Which calls of the clients Rollcall serves: all of those whose method and path are in the OpenAPI document.

The calls are read from the clients' sources, so that a new version cannot add one unnoticed. docs/api.md has the same
table for people.
"""

import ast
import importlib.util
import pathlib

import httpx

from conftest import URL

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}

SERVED = {
    # The generated methods of the same class send the same requests, and have other models.
    ("sonzai", "Agents.create"),
    ("sonzai", "Agents.create_agent"),
    ("sonzai", "Agents.delete"),
    ("sonzai", "Agents.delete_agent"),
    ("sonzai", "Agents.get"),
    ("sonzai", "Agents.get_agent"),
    ("sonzai", "Agents.get_users"),
    ("sonzai", "Agents.list"),
    ("sonzai", "Agents.list_agents"),
    ("sonzai", "Org.me"),
    ("sonzai", "Users.get_my_org"),
    ("sonzai", "Users.list_users"),
    ("uniqos", "Deletions.get"),
    ("uniqos", "EndUsers.create"),
    ("uniqos", "EndUsers.delete"),
    ("uniqos", "EndUsers.export"),
    ("uniqos", "EndUsers.get"),
    ("uniqos", "EndUsers.list"),
    ("uniqos", "EndUsers.update"),
    ("uniqos", "Engine.respond"),
    ("uniqos", "Relationships.delete"),
    ("uniqos", "Relationships.get"),
    ("uniqos", "Relationships.list"),
    ("uniqos", "Usage.active_relationships"),
    ("uniqos", "Usage.turns"),
    ("cobo_agentic_wallet_api", "HealthApi.health_check"),
    ("cobo_agentic_wallet_api", "IdentityApi.create_principal"),
    ("cobo_agentic_wallet_api", "IdentityApi.list_principals"),
    ("cobo_agentic_wallet_api", "IdentityApi.update_principal"),
}


def template(path):
    """A path with its parameters unnamed."""
    return "/".join("{}" if "{" in part else part for part in path.split("/"))


def text(node):
    """A string constant, or an f-string with `{}` for what it inserts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


def methods(call):
    """The method of a call: `http.get(…)`, `_call("GET", …)`, or `param_serialize(method="GET", …)`."""
    if isinstance(call.func, ast.Attribute) and text_of_attribute(call.func.value) == "_http":
        yield call.func.attr.upper()
    arguments = call.args[:1] + [keyword.value for keyword in call.keywords if keyword.arg == "method"]
    yield from (text(argument) for argument in arguments)


def text_of_attribute(node):
    return node.attr if isinstance(node, ast.Attribute) else ""


def requests(package):
    """Each synchronous method that sends a request, with the methods and the paths that it names."""
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
    trees = [ast.parse(file.read_text()) for file in folder.rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for of_class in classes:
        if of_class.name.startswith("Async"):
            continue
        for function in of_class.body:
            if not isinstance(function, ast.FunctionDef):
                continue
            nodes = list(ast.walk(function))
            found = {method for node in nodes if isinstance(node, ast.Call) for method in methods(node)}
            paths = {template(text(node)) for node in nodes if text(node).startswith("/")}
            name = function.name.removeprefix("_").removesuffix("_serialize")
            yield f"{of_class.name}.{name}", found & METHODS, paths


def test_every_call_that_is_served_is_known():
    paths = httpx.get(f"{URL}/openapi.json").json()["paths"]
    routes = {(method.upper(), template(path)) for path, methods in paths.items() for method in methods}
    served = {
        (package, name)
        for package in ["sonzai", "uniqos", "cobo_agentic_wallet_api"]
        for name, methods, paths in requests(package)
        if any((method, path) in routes for method in methods for path in paths)
    }
    assert served == SERVED

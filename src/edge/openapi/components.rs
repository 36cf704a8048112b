//! The components of the document: schemas, headers, error responses and credentials.

use serde_json::{Map, Value, json};

use super::errors::{error_name, error_response};
use super::route_table::error_form;
use super::{headers, operations, schemas};
use crate::edge::routes::{Action, ROUTES};

/// The `components` object.
pub fn all() -> Value {
    json!({
        "schemas": schemas::all(),
        "headers": headers::components(),
        "responses": shared_errors(),
        "securitySchemes": {
            "apiKey": {
                "type": "http", "scheme": "bearer", "bearerFormat": "sk_live_…",
                "description": "An API key of an organization. Its mode, `live` or `test`, decides which data it sees.",
            },
            "serviceKey": {
                "type": "apiKey", "in": "header", "name": "X-Assistant-Service-Key",
                "description": "A service key of an organization. Never for browsers.",
            },
            "sessionToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A session token of Clerk's, RS256.",
            },
            "adminToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "token",
                "description": "The operator's token, `ADMIN_TOKEN`. Never for browsers.",
            },
            "svixSignature": {
                "type": "apiKey", "in": "header", "name": "svix-signature",
                "description": "A signature by Svix, with `svix-id` and `svix-timestamp`.",
            },
        },
    })
}

/// The error responses that routes share, by name.
fn shared_errors() -> Map<String, Value> {
    let mut shared = Map::new();
    let operations = operations::all();
    for route in ROUTES {
        let Some(operation) = operations.iter().find(|operation| operation.is_of(route)) else { continue };
        let is_key = matches!(route.action, Action::Key { .. });
        let form = error_form(route.dialect);
        for status in operation.all_errors(route) {
            shared.insert(error_name(form.1, is_key, status), error_response(form, is_key, status, ""));
        }
    }
    shared
}

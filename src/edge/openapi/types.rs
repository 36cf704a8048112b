//! The schemas of types with a `Serialize` of their own: texts and numbers with rules.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::directory::api_key::KeyPrefix;
use crate::directory::identifiers::{DeletionId, KeyId, OperatorId, OrganizationId, RelationshipId, RequestId};
use crate::directory::metadata::Metadata;
use crate::directory::mood::Level;
use crate::directory::names::{Name, UserId};
use crate::directory::organization::Slug;
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// A printed ULID: 26 characters of Crockford's base 32, at most 128 bits.
pub const ULID_PATTERN: &str = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$";

macro_rules! written {
    ($($type:ty: $schema:tt),+ $(,)?) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })+
    };
}

written! {
    UserId: { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" },
    Name: { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" },
    Slug: { "type": "string", "minLength": 2, "maxLength": 64, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$" },
    KeyPrefix: { "type": "string", "pattern": "^[a-z]{2,12}$" },
    PrincipalId: { "type": "string", "format": "uuid" },
    OrganizationId: { "type": "string", "pattern": ULID_PATTERN },
    KeyId: { "type": "string", "pattern": ULID_PATTERN },
    OperatorId: { "type": "string", "pattern": ULID_PATTERN },
    RequestId: { "type": "string", "pattern": ULID_PATTERN },
    DeletionId: { "type": "string", "pattern": ULID_PATTERN },
    RelationshipId: { "type": "string", "pattern": ULID_PATTERN },
    Timestamp: { "type": "string", "format": "date-time" },
    Level: { "type": "number", "minimum": -1, "maximum": 1 },
    Metadata: {
        "type": "object",
        "description": "The operator's own JSON: at most 16 KiB, at most 8 levels deep. Numbers keep every digit.",
    },
    json::Text: { "description": "Any JSON." },
}

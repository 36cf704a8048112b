//! The requests of each operation of the API, in any size.

use std::time::Duration;

use serde_json::json;
use xtask::Result;

use crate::largest::{self, ISSUER, Largest, Users};
use crate::letters::Letters;
use crate::model::{Manner, Model};
use crate::raw::{Ask, encoded};
use crate::records::{self, of};
use crate::sizes::{ANSWER, HEADER_BYTES, IGNORED, Operation, Shape, Sizes};

/// Makes the requests of an operation against the largest state.
#[derive(Debug)]
pub struct Probes<'a> {
    pub largest: Largest,
    pub model: &'a Model,
    /// Of ids and keys that were not used before.
    pub number: usize,
}

impl Probes<'_> {
    /// The requests that go out at once. What they need is made first.
    pub fn asks(&mut self, operation: &Operation, sizes: Sizes) -> Result<Vec<Ask>> {
        self.model.set(Manner { letters: sizes.letters, bytes: sizes.bytes.min(ANSWER - 100), delay: Duration::ZERO });
        let repeated = self.number + 1;
        let mut asks = Vec::with_capacity(sizes.together);
        for _ in 0..sizes.together.max(1) {
            self.number += 1;
            if sizes.shape == Shape::Repeated {
                asks.push(asks.first().cloned().map_or_else(|| self.one(operation, sizes, repeated), Ok)?);
            } else {
                asks.push(self.one(operation, sizes, self.number)?);
            }
        }
        Ok(asks)
    }

    fn one(&self, operation: &Operation, sizes: Sizes, number: usize) -> Result<Ask> {
        let path = self.path(operation, sizes, number)?;
        let mut ask = match operation.path() {
            path_of if path_of.starts_with("/admin") => Largest::operator(operation.method(), path),
            path_of if path_of.starts_with("/api/v1/principals") => self.largest.service(operation.method(), path),
            "/api/v1/me" => {
                let token = self.token(sizes);
                Ask::new("GET", path).with("authorization", &format!("Bearer {token}"))
            }
            _ => self.largest.api(operation.method(), path),
        };
        if operation.takes_idempotency_key() {
            ask = ask.with("idempotency-key", &format!("{number:0>255}"));
        }
        if sizes.shape == Shape::Head {
            ask = ask
                .with("if-none-match", &"W/\"1\",".repeat(HEADER_BYTES / 6))
                .with("x-any", &"a".repeat(HEADER_BYTES));
        }
        if operation.body_max == 0 {
            return Ok(ask);
        }
        let body = Self::body(operation, sizes, number);
        if operation.path() == "/webhooks/clerk" {
            let signed = self.largest.event(&format!("event-{number}"), body)?;
            return Ok(Ask { is_chunked: sizes.shape == Shape::TooLongInChunks, ..signed });
        }
        Ok(Ask { is_chunked: sizes.shape == Shape::TooLongInChunks, ..ask.json(body) })
    }

    /// A body of the shape, about as long as the sizes say and no longer than is legal unless the shape is too long.
    fn body(operation: &Operation, sizes: Sizes, number: usize) -> String {
        let bytes = sizes.bytes.saturating_mul(operation.body_max / operation.bytes_max.max(1)).min(operation.body_max);
        let bytes = if operation.bytes_max == 0 { operation.body_max } else { bytes };
        match sizes.shape {
            Shape::Legal | Shape::Repeated | Shape::Streamed | Shape::Head => {
                records::legal(operation.name, sizes, number)
            }
            Shape::Unknown => {
                let legal = records::legal(operation.name, sizes, number);
                let room = bytes.saturating_sub(legal.len() + 10);
                let legal = legal.trim_end_matches('}');
                let comma = if legal == "{" { "" } else { "," };
                format!("{legal}{comma}\"u\":{}}}", sizes.letters.object(room))
            }
            Shape::Nested => "[".repeat(bytes / 2) + &"]".repeat(bytes / 2),
            Shape::Numbers => Letters::Digits.object(bytes),
            Shape::Members => Letters::Members.object(bytes),
            Shape::Broken => {
                let mut body = sizes.letters.object(bytes);
                body.pop();
                body
            }
            Shape::TooLong | Shape::TooLongInChunks => sizes.letters.object(operation.body_max + IGNORED),
        }
    }

    fn token(&self, sizes: Sizes) -> String {
        let letters = sizes.letters.of_name();
        self.largest.signing_key.sign(&json!({
            "iss": ISSUER, "sub": largest::person_id(letters), "sid": "sess", "sts": "active", "v": 2,
            "email": "ada@example.com", "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 4_000_000_000_u64,
            "padding": sizes.letters.characters(sizes.bytes / sizes.letters.character().len_utf8() / 2),
        }))
    }

    /// The path of a request, and its query. A record that the request takes away is made.
    fn path(&self, operation: &Operation, sizes: Sizes, number: usize) -> Result<String> {
        let largest = &self.largest;
        let (letters, users) = (sizes.letters, Users::of_bytes(sizes.bytes));
        let named = letters.of_name();
        let mut path = operation.path().to_owned();
        // What one request of the operation takes away, and what any other one names.
        let made = records::taken_away(largest, operation.name, sizes, number)?;
        let (name, made) = made.unwrap_or_default();
        if !made.is_empty() {
            path = path.replace(name, &encoded(&made));
        }
        let user = match operation.name {
            "GET /v1/end-users/{user_id}" if users == Users::Full => largest::many_id(named),
            "GET /v1/end-users/{user_id}/export" if users == Users::Full => largest::kept_id(letters),
            "GET /v1/end-users/{user_id}/export" => largest::many_id(named),
            _ => largest::user_id(letters, users, 0),
        };
        let agent = match operation.name {
            "GET /api/v1/agents/{agent_id}/users" => of(&largest.agent_of, &(named, users.or_middle()))?,
            _ => of(&largest.full_agent, &letters)?,
        };
        let path = path
            .replace("{user_id}", &encoded(&user))
            .replace("{external_id}", &encoded(&user))
            .replace("{agent_id}", &agent)
            .replace("{principal_id}", &of(&largest.full_principal, &letters)?)
            .replace("{relationship_id}", &of(&largest.relationship, &named)?)
            .replace("{organization_id}", &largest.organization_id)
            .replace("{deletion_id}", &of(&largest.deletion, &letters)?);
        Ok(path + &self.query(operation, sizes)?)
    }

    fn query(&self, operation: &Operation, sizes: Sizes) -> Result<String> {
        if sizes.shape == Shape::Head {
            return Ok(format!("?q={}", "%22".repeat(HEADER_BYTES / 3)));
        }
        let (letters, users) = (sizes.letters, Users::of_bytes(sizes.bytes));
        let (named, rows) = (letters.of_name(), sizes.rows.max(1));
        Ok(match operation.name {
            "GET /v1/end-users" => format!("?limit={rows}&user_id_prefix={}", largest::prefix(letters, users)),
            "GET /v1/events" => format!("?limit={rows}&types=end_user.created"),
            "GET /v1/relationships" => format!("?limit={rows}&user_id={}", encoded(&largest::many_id(named))),
            "GET /api/v1/agents" => {
                format!("?page_size={rows}&offset={}", of(&self.largest.agents_before, &named)?)
            }
            "GET /api/v1/agents/{agent_id}/users" => format!("?page_size={rows}"),
            "GET /api/v1/principals" => {
                let from = of(&self.largest.principals_from, &(letters, users))?;
                format!("?type=human&limit={rows}{from}")
            }
            "GET /admin/v1/organizations"
            | "GET /admin/v1/organizations/{organization_id}/keys"
            | "GET /admin/v1/operators" => {
                format!("?limit={rows}")
            }
            _ => String::new(),
        })
    }
}

//! `GET /api/v1/me`: the person who is signed in, and their organizations.

use crate::clerk::claims::{ActiveOrganization, Session};
use crate::clerk::people::{self, Person, PersonLookup, PersonOrganization};
use crate::edge::exchange::Exchange;
use crate::edge::http::response::Response;
use crate::edge::http::schema::{Schema, described};
use crate::edge::runtime::Runtime;
use crate::edge::session;
use crate::edge::waits::Store;
use crate::fault::{CredentialFault, Fault, internal, store_unavailable};
use crate::input::QueryFields;

/// Answers from the mirror of Clerk, which knows more than a token. A person who is not in the mirror yet is
/// described by the token.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>) -> Result<Response, Fault> {
    let session = session::authenticate(exchange).await?;
    QueryFields::none(exchange.target.query)?;
    let database = exchange.runtime.database().map_err(internal)?;
    let work = people::signed_in(&database, session.person_id.as_str());
    let answer = exchange.waits.note(Store::Listing, exchange.runtime, work).await;
    let (person, rows_read) = answer.map_err(store_unavailable)?;
    exchange.rows_read = Some(rows_read);
    match person {
        PersonLookup::Known(person) => described(200, Schema::Me, exchange.reader(), person),
        PersonLookup::Unknown => described(200, Schema::Me, exchange.reader(), of_token(&session)),
        PersonLookup::Gone => Err(exchange.refuse_credential(CredentialFault::Invalid)),
    }
}

/// Describes a person by their token, which names only the organization that they act for.
fn of_token(session: &Session) -> Person {
    let organization = session.organization.clone().map(|ActiveOrganization { id, slug, role }| PersonOrganization {
        id,
        name: slug.clone(),
        slug,
        role,
        member_count: None,
        created_at: None,
    });
    Person {
        user_id: session.person_id.as_str().to_owned(),
        email: session.email.clone(),
        orgs: organization.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::directory::names::UserId;
    use crate::directory::timestamp::Timestamp;

    fn read(email: Option<&str>, organization: Option<ActiveOrganization>) -> Value {
        let person_id = UserId::new("user\"1").unwrap();
        let email = email.map(str::to_owned);
        let session = Session { person_id, email, organization, expires_at: Timestamp::EPOCH };
        serde_json::to_value(of_token(&session)).unwrap()
    }

    #[test]
    fn a_token_tells_what_it_can() {
        assert_eq!(read(None, None), json!({ "user_id": "user\"1", "email": null, "orgs": [] }));
        let organization = ActiveOrganization { id: "org_1".to_owned(), slug: Some("a\"b".to_owned()), role: None };
        let expected = json!([{
            "id": "org_1", "name": "a\"b", "slug": "a\"b", "role": null, "member_count": null, "created_at": null,
        }]);
        let read = read(Some("ada@example.com"), Some(organization));
        assert_eq!((&read["email"], &read["orgs"]), (&json!("ada@example.com"), &expected));
    }
}

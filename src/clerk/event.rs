//! Events as Clerk sends them, read into the events of the mirror
//! (<https://clerk.com/docs/guides/development/webhooks/overview>).
//!
//! An event may hold further members, unlike a request to the API. Only the mirrored members are read.

use super::mirror::{ClerkMembership, ClerkOrganization, ClerkPerson, Event};
use crate::directory::names::Name;
use crate::directory::timestamp::Timestamp;
use crate::fault::Fault;
use crate::input::{Fields, integer, string};
use crate::json::{RawValue, elements};
use crate::refusal::Refusal;

/// Reads an event. `None` if its type is not mirrored.
pub fn parse(body: &[u8]) -> Result<Option<Event>, Fault> {
    let mut fields = Fields::of_body(body)?;
    let kind = text(&mut fields, "type", string).unwrap_or_default();
    let read = match kind.as_str() {
        "user.created" | "user.updated" => person,
        "organization.created" | "organization.updated" => organization,
        "organizationMembership.created" | "organizationMembership.updated" => membership,
        "user.deleted" => |data: &mut Fields<'_>| Some(Event::PersonDeleted { id: id(data)? }),
        "organization.deleted" => |data: &mut Fields<'_>| Some(Event::OrganizationDeleted { id: id(data)? }),
        "organizationMembership.deleted" => |data: &mut Fields<'_>| Some(Event::MembershipDeleted { id: id(data)? }),
        // The type itself may be missing or no text.
        _ => return fields.finish_known().map(|()| None),
    };
    let mut event = None;
    if let Some(mut data) = nested(&mut fields, "data") {
        event = read(&mut data);
        fields.absorb_known(data);
    }
    fields.finish_known().map(|()| event)
}

fn person(data: &mut Fields<'_>) -> Option<Event> {
    let primary = optional_text(data, "primary_email_address_id");
    let addresses = data.required("email_addresses", addresses);
    let (id, updated_at) = (id(data), instant(data, "updated_at"));
    let email = addresses?.into_iter().find(|(id, _)| Some(id) == primary.as_ref()).map(|(_, address)| address);
    Some(Event::Person(ClerkPerson { id: id?, email, updated_at: updated_at? }))
}

/// Email addresses with their ids.
fn addresses(value: &RawValue) -> Result<Vec<(String, String)>, Refusal> {
    let refusal = || Refusal::new("must be an array of objects with id and email_address");
    let elements = elements(value).ok_or_else(refusal)?;
    let mut addresses = Vec::with_capacity(elements.len());
    for element in elements {
        let mut fields = Fields::of_element(element).map_err(|_| refusal())?;
        let (id, address) = (text(&mut fields, "id", string), text(&mut fields, "email_address", string));
        addresses.push(id.zip(address).ok_or_else(refusal)?);
    }
    Ok(addresses)
}

fn organization(data: &mut Fields<'_>) -> Option<Event> {
    let id = id(data);
    Some(Event::Organization(whole_organization(data, id)?))
}

fn whole_organization(data: &mut Fields<'_>, id: Option<String>) -> Option<ClerkOrganization> {
    let (name, slug) = (text(data, "name", string), optional_text(data, "slug"));
    let (created_at, updated_at) = (instant(data, "created_at"), instant(data, "updated_at"));
    Some(ClerkOrganization { id: id?, name: name?, slug, created_at: created_at?, updated_at: updated_at? })
}

fn membership(data: &mut Fields<'_>) -> Option<Event> {
    let (membership_id, role) = (id(data), text(data, "role", identifier));
    let (created_at, updated_at) = (instant(data, "created_at"), instant(data, "updated_at"));
    let (mut organization_id, mut organization, mut person_id) = (None, None, None);
    if let Some(mut fields) = nested(data, "organization") {
        organization_id = id(&mut fields);
        // Clerk sends the whole organization. If there is only its id, its own events bring the rest.
        if fields.peek("name").is_some() {
            organization = whole_organization(&mut fields, organization_id.clone());
        }
        data.absorb_known(fields);
    }
    if let Some(mut fields) = nested(data, "public_user_data") {
        person_id = text(&mut fields, "user_id", identifier);
        data.absorb_known(fields);
    }
    let membership = ClerkMembership {
        id: membership_id?,
        organization_id: organization_id?,
        person_id: person_id?,
        role: role?,
        created_at: created_at?,
        updated_at: updated_at?,
    };
    Some(Event::Membership(membership, organization))
}

/// A required object.
fn nested<'a>(fields: &mut Fields<'a>, name: &str) -> Option<Fields<'a>> {
    if fields.peek(name).is_none() {
        fields.refuse(name, Refusal::new("is required"), None);
    }
    fields.object(name)
}

fn id(fields: &mut Fields<'_>) -> Option<String> {
    text(fields, "id", identifier)
}

/// A required text.
fn text(fields: &mut Fields<'_>, name: &str, read: fn(&RawValue) -> Result<String, Refusal>) -> Option<String> {
    fields.required(name, read)
}

/// A text that may be `null` or absent.
fn optional_text(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    fields.nullable(name, string).flatten()
}

/// 1 to 255 characters without control characters.
fn identifier(value: &RawValue) -> Result<String, Refusal> {
    string(value).and_then(Name::new).map(|name| name.as_str().to_owned())
}

/// Milliseconds since the epoch.
fn instant(fields: &mut Fields<'_>, name: &str) -> Option<i64> {
    let millis = fields.required(name, |value| integer(value, 0, Timestamp::LAST.unsigned_millis()))?;
    i64::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Event {
        parse(body.as_bytes()).unwrap().unwrap()
    }

    fn faults(body: &str) -> Vec<String> {
        let Err(Fault::Invalid(faults)) = parse(body.as_bytes()) else { panic!("no faults: {body}") };
        faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
    }

    // These events are parts of the examples in Clerk's dashboard.

    #[test]
    fn a_user_has_the_address_that_is_primary() {
        let body = |primary: &str| {
            r#"{"data":{"birthday":"","created_at":1654012591514,"email_addresses":[
                {"email_address":"other@example.org","id":"idn_1","linked_to":[],"object":"email_address"},
                {"email_address":"example@example.org","id":"idn_2","verification":{"status":"verified"}}],
                "external_accounts":[],"first_name":"Example","id":"user_29w83sxmDNGwOuEthce5gg56FcC","object":"user",
                "primary_email_address_id":PRIMARY,"private_metadata":{},"updated_at":1654012591835,"username":null},
                "event_attributes":{"http_request":{"client_ip":"0.0.0.0"}},"object":"event","timestamp":1654012591835,
                "type":"user.created"}"#
                .replace("PRIMARY", primary)
        };
        for (primary, email) in
            [("\"idn_2\"", Some("example@example.org")), ("null", None), ("\"idn_9\"", None), ("\"\"", None)]
        {
            let expected = ClerkPerson {
                id: "user_29w83sxmDNGwOuEthce5gg56FcC".into(),
                email: email.map(str::to_owned),
                updated_at: 1_654_012_591_835,
            };
            assert_eq!(read(&body(primary)), Event::Person(expected.clone()));
            assert_eq!(read(&body(primary).replace("user.created", "user.updated")), Event::Person(expected));
        }
    }

    #[test]
    fn organizations_and_memberships_are_read() {
        let organization = r#"{"created_at":1654013202977,"created_by":"user_1","id":"org_1","image_url":"https://x",
            "name":"Acme Inc","object":"organization","public_metadata":{},"slug":"acme-inc","updated_at":1654013202978}"#;
        let expected = ClerkOrganization {
            id: "org_1".into(),
            name: "Acme Inc".into(),
            slug: Some("acme-inc".into()),
            created_at: 1_654_013_202_977,
            updated_at: 1_654_013_202_978,
        };
        let body = format!(r#"{{"data":{organization},"object":"event","type":"organization.updated"}}"#);
        assert_eq!(read(&body), Event::Organization(expected.clone()));
        let body = |organization: &str| {
            format!(
                r#"{{"data":{{"created_at":1,"id":"orgmem_1","object":"organization_membership",
                "organization":{organization},"public_user_data":{{"first_name":"E","identifier":"e@example.org",
                "user_id":"user_1"}},"role":"org:admin","updated_at":2}},"type":"organizationMembership.created"}}"#
            )
        };
        let membership = ClerkMembership {
            id: "orgmem_1".into(),
            organization_id: "org_1".into(),
            person_id: "user_1".into(),
            role: "org:admin".into(),
            created_at: 1,
            updated_at: 2,
        };
        assert_eq!(read(&body(organization)), Event::Membership(membership.clone(), Some(expected)));
        assert_eq!(read(&body(r#"{"id":"org_1"}"#)), Event::Membership(membership, None));
        let deleted = body(organization).replace("Membership.created", "Membership.deleted");
        assert_eq!(read(&deleted), Event::MembershipDeleted { id: "orgmem_1".into() });
    }

    #[test]
    fn a_deletion_has_only_an_id() {
        let body = |kind: &str| format!(r#"{{"data":{{"deleted":true,"id":"x","object":"o"}},"type":"{kind}"}}"#);
        assert_eq!(read(&body("user.deleted")), Event::PersonDeleted { id: "x".into() });
        assert_eq!(read(&body("organization.deleted")), Event::OrganizationDeleted { id: "x".into() });
    }

    #[test]
    fn other_types_are_of_no_interest() {
        for kind in ["session.created", "user.createdAtLeast", "User.created", "organizationInvitation.accepted"] {
            let body = format!(r#"{{"data":[],"type":"{kind}"}}"#);
            assert_eq!(parse(body.as_bytes()).unwrap(), None, "{kind}");
        }
    }

    #[test]
    fn every_fault_is_listed_with_its_path() {
        assert_eq!(faults("{}"), ["type: is required"]);
        assert_eq!(faults(r#"{"type":1}"#), ["type: must be a string"]);
        assert_eq!(faults(r#"{"type":"user.created"}"#), ["data: is required"]);
        assert_eq!(faults(r#"{"type":"user.deleted","data":null}"#), ["data: must be an object"]);
        assert_eq!(faults(r#"{"type":"user.deleted","data":{"id":"a\u0000"}}"#).len(), 1);
        let addresses = "data.email_addresses: must be an array of objects with id and email_address";
        for value in ["{}", "[1]", r#"[{"id":"a"}]"#, r#"[{"id":"a","email_address":null}]"#] {
            let body =
                format!(r#"{{"type":"user.created","data":{{"id":"u","email_addresses":{value},"updated_at":1}}}}"#);
            assert_eq!(faults(&body), [addresses], "{value}");
        }
        let body = r#"{"type":"organization.created","data":{"id":"","slug":1,"created_at":-1,"updated_at":1.5}}"#;
        let millis = "must be a whole number from 0 to 253402300799999";
        assert_eq!(
            faults(body),
            [
                "data.id: must have 1 to 255 characters".to_owned(),
                "data.name: is required".to_owned(),
                "data.slug: must be a string".to_owned(),
                format!("data.created_at: {millis}"),
                format!("data.updated_at: {millis}"),
            ]
        );
        let body = r#"{"type":"organizationMembership.updated","data":{"id":"m","role":"r","created_at":1,
            "updated_at":1,"organization":{"id":"o","name":"n","created_at":1},"public_user_data":{}}}"#;
        assert_eq!(
            faults(body),
            ["data.organization.updated_at: is required", "data.public_user_data.user_id: is required"]
        );
        assert!(matches!(parse(b"[]"), Err(Fault::Malformed(_))));
    }
}

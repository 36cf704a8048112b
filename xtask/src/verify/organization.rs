//! The organization that the command makes, and deletes again.

use std::time::Duration;

use serde_json::json;

use super::answer::Answer;
use super::client::Client;
use super::report::{Checked, Fault};
use super::wait;

const ORGANIZATIONS: &str = "/admin/v1/organizations";
/// How long the deletion of an organization may take. Its objects remove everything by themselves, and need a second.
const DELETION_LIMIT: Duration = Duration::from_mins(1);

/// Few turns, because a model may be billed for them.
const TURNS: u32 = 3;

/// An organization with keys of each kind.
pub struct Organization {
    pub id: String,
    admin: Client,
    /// An API key with the scope `read_write`, of mode live.
    pub writer: Client,
    /// The same with the scope `read`.
    pub reader: Client,
    /// The first key in mode test.
    pub test: Client,
    /// A service key with the scope `read_write`, of mode live.
    pub service: Client,
    /// The service key itself.
    pub service_key: String,
}

/// Makes an organization. The caller must delete it, whatever comes.
pub fn make(admin: &Client, slug: &str) -> Checked<String> {
    let limits = json!({
        "requests_per_second": 100, "burst": 1_000, "turns_per_period": TURNS, "active_relationships": 3, "end_users": 100,
        "storage_bytes": 10_000_000,
    });
    let made = admin.post(ORGANIZATIONS, &json!({ "name": "Verification", "slug": slug, "limits": limits }));
    let made = made.map_err(|fault| Fault {
        remedy: format!("{}; if the organization with the slug {slug} is there nevertheless, delete it", fault.remedy),
        ..fault
    })?;
    made.expect_status(201)?;
    made.text("id")
}

impl Organization {
    /// Issues keys of each kind.
    pub fn issue_keys(anonymous: &Client, admin: &Client, id: &str) -> Checked<Self> {
        let issue = |kind: &str, mode: &str, scope: &str| {
            let request = json!({ "kind": kind, "mode": mode, "scope": scope, "name": "verify" });
            let answer = admin.post(&format!("{ORGANIZATIONS}/{id}/keys"), &request)?;
            answer.expect_status(201)?;
            let key = answer.text("key")?;
            let form = format!("sk_{mode}_");
            if key.strip_prefix(&form).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
                Ok(key)
            } else {
                Err(Fault::new(format!("{answer} has a key that does not begin with {form}"), "deploy this build"))
            }
        };
        let service_key = issue("service", "live", "read_write")?;
        Ok(Self {
            id: id.to_owned(),
            admin: admin.clone(),
            writer: anonymous.bearer(&issue("api", "live", "read_write")?),
            reader: anonymous.bearer(&issue("api", "live", "read")?),
            test: anonymous.bearer(&issue("api", "test", "read_write")?),
            service: anonymous.with("X-Assistant-Service-Key", service_key.as_str()),
            service_key,
        })
    }

    fn path(&self) -> String {
        format!("{ORGANIZATIONS}/{}", self.id)
    }

    /// The record is read, has a strong tag, and is changed in the version that a weak one names.
    pub fn check_record(&self) -> Checked {
        let read = self.admin.get(&self.path())?;
        read.expect_member(200, "/limits/turns_per_period", &TURNS.into())?;
        let tag = read.header("etag")?.trim_start_matches("W/").to_owned();
        let change = json!({ "name": "Verification again" });
        let changed = self.admin.with("If-Match", format!("W/{tag}")).patch(&self.path(), &change)?;
        changed.expect_member(200, "/name", &change["name"])?;
        self.admin.with("If-Match", tag).patch(&self.path(), &change)?.expect_status(412)
    }

    /// Changes the bucket of both modes.
    pub fn set_bucket(&self, requests_per_second: u32, burst: u32) -> Checked {
        let limits = json!({ "requests_per_second": requests_per_second, "burst": burst });
        let changed = self.admin.patch(&self.path(), &json!({ "limits": limits }))?;
        changed.expect_member(200, "/limits/burst", &burst.into()).map(drop)
    }
}

/// Deletes an organization, and asks for it until it is done. Each repetition says how far it is, and no cache answers it.
pub fn delete(admin: &Client, id: &str) -> Checked {
    let admin = admin.uninterrupted();
    let path = format!("{ORGANIZATIONS}/{id}");
    let is_over = |answer: &Checked<Answer>| match answer {
        Ok(answer) if answer.status == 202 => answer.json()["status"] == "completed",
        Ok(answer) => answer.status < 500 && answer.status != 429,
        Err(_) => false,
    };
    let last = wait::until(DELETION_LIMIT, || admin.delete(&path), is_over);
    let accepted = last.and_then(|answer| answer.expect(202).map(|_| answer)).map_err(|fault| {
        Fault::new(
            format!("the organization {id} is still there: {}", fault.what),
            format!(
                "delete it: curl -X DELETE {}{path} -H \"Authorization: Bearer $ROLLCALL_ADMIN_TOKEN\"",
                admin.url()
            ),
        )
    })?;
    let receipt = format!("/admin/v1/deletions/{}", accepted.text("deletion_id")?);
    if accepted.json()["status"] != "completed" {
        let what =
            format!("the organization {id} is deleted, and its data is not yet, after {} s", DELETION_LIMIT.as_secs());
        return Err(Fault::new(
            what,
            format!("the cron trigger goes on with it; see GET {receipt}, and the log for the reason"),
        ));
    }
    admin.get(&receipt)?.expect_member(200, "/status", &"completed".into()).map(drop)
}

/// A slug that no other organization has.
pub fn random_slug() -> crate::Result<String> {
    let random = crate::secrets::random_secret()?;
    Ok(format!("verify-{}", random.chars().take(16).collect::<String>()))
}

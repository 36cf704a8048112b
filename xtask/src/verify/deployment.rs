//! What can be seen of a deployment before an organization is made: that it is Rollcall, the operator's token, settings,
//! bindings and the cron trigger.

use serde_json::Value;

use super::answer::Answer;
use super::client::Client;
use super::report::{Checked, Fault, Finding, Report};

const DIAGNOSTICS: &str = "/admin/v1/diagnostics";
/// A run of the cron trigger that failed, or two, are no reason to look for the trigger. It comes every 15 minutes.
const CRON_LATE_S: i64 = 50 * 60;
/// A new trigger takes up to 15 minutes to reach Cloudflare's network, and then comes within 15 more
/// (<https://developers.cloudflare.com/workers/configuration/cron-triggers/>).
const CRON_NEW_S: i64 = 30 * 60;

const SET: &str = "npx wrangler secret put";
const MIGRATE: &str = "npx wrangler d1 migrations apply LISTING --remote";

/// Looks at the deployment. Returns its diagnostics if it can serve an organization.
pub fn look(client: &Client, admin: &Client, report: &mut Report) -> Option<Value> {
    if !report.note("address", address(client)) {
        return None;
    }
    let (found, ready) = (diagnostics(client, admin), client.get("/ready"));
    let diagnostics = match found {
        Ok(diagnostics) => diagnostics,
        Err(fault) => {
            report.add("operator's token", Finding::Wrong(fault));
            return None;
        }
    };
    report.add("operator's token", Finding::Good);
    let is_configured = settings(&diagnostics, report);
    let is_bound = bindings(&diagnostics, is_configured, report);
    report.note("client address", client_address(&diagnostics));
    if !(is_configured && is_bound) {
        return None;
    }
    report.add("cron trigger", cron(&diagnostics));
    report.note("readiness", ready.and_then(|ready| ready.expect_member(200, "/status", &"ready".into()).map(drop)));
    Some(diagnostics)
}

/// Whether Rollcall answers at the URL.
fn address(client: &Client) -> Checked {
    let answer = client.send_unobserved("GET", "/health", None)?;
    if (300..400).contains(&answer.status) {
        let to = answer.find_header("location").unwrap_or("another URL").trim_end_matches("/health");
        let what = format!("{} redirects to {to}", client.url());
        return Err(Fault::new(what, format!("give that URL: cargo xtask verify {to}")));
    }
    let body = answer.json();
    if answer.status == 200 && body["status"] == "ok" && body["version"].is_string() {
        return Ok(());
    }
    let what = format!(
        "{} is no Rollcall: GET /health answers {}, and not status ok with a version",
        client.url(),
        answer.status
    );
    Err(Fault::new(what, "give the URL of the Worker, without a path, such as https://rollcall.example.workers.dev"))
}

fn diagnostics(client: &Client, admin: &Client) -> Checked<Value> {
    let answer = admin.get(DIAGNOSTICS)?;
    match answer.status {
        200 => Ok(answer.json()),
        404 => Err(Fault::new(
            format!("{DIAGNOSTICS} is not there: the deployment is of an earlier build"),
            "deploy this build, or run the command of the build that is deployed",
        )),
        401 => Err(Fault::new(
            "the deployment refuses the operator's token: its ADMIN_TOKEN is another, or is not set",
            format!("put the token that is set into ROLLCALL_ADMIN_TOKEN, or set one: {SET} ADMIN_TOKEN"),
        )),
        500 if !is_configured(client) => Err(Fault::new(
            "the configuration is not usable, and the deployment does not know the operator's token: ADMIN_TOKEN is another, \
             is not set, or has fewer than 32 bytes",
            format!(
                "set ADMIN_TOKEN ({SET} ADMIN_TOKEN), put it into ROLLCALL_ADMIN_TOKEN, and run the command again: it then \
                 says what else is wrong. The log (npx wrangler tail) says it too"
            ),
        )),
        _ => Err(answer.unexpected("200")),
    }
}

/// Whether the configuration is usable, as everybody may know.
fn is_configured(client: &Client) -> bool {
    let ready = client.get("/ready").map(|answer: Answer| answer.json()).unwrap_or_default();
    ready["checks"]["configuration"]["ok"] != false
}

/// One row for each setting that is wrong. Returns whether the Worker takes them all.
fn settings(diagnostics: &Value, report: &mut Report) -> bool {
    let (mut is_taken, mut is_good) = (true, true);
    for setting in diagnostics["settings"].as_array().into_iter().flatten() {
        let name = setting["name"].as_str().unwrap_or_default();
        let (fault, doubt) = (setting["fault"].as_str(), setting["doubt"].as_str());
        let Some(reason) = fault.or(doubt) else { continue };
        is_good = false;
        is_taken &= fault.is_none();
        let remedy = if setting["is_set"] == true && setting["value"].is_string() {
            format!("correct {name} in wrangler.toml, and deploy")
        } else {
            format!("set it ({SET} {name}), or correct it in wrangler.toml if it stands there, and deploy")
        };
        report.add("settings", Finding::Wrong(Fault::new(format!("{name}: {reason}"), remedy)));
    }
    if is_good {
        report.add("settings", Finding::Good);
    }
    is_taken
}

/// Whether every store is reached. Without a configuration no object is asked.
fn bindings(diagnostics: &Value, is_configured: bool, report: &mut Report) -> bool {
    let bindings = &diagnostics["bindings"];
    let expected = &diagnostics["build"]["d1_schema_version"];
    let objects =
        !is_configured || report.note("objects", binding(&bindings["objects"], "ORGANIZATIONS", "Durable Objects"));
    let kv = report.note("KV", binding(&bindings["kv"], "RECORDS", "KV"));
    let version = &bindings["d1"]["schema_version"];
    let d1 = match bindings["d1"]["error"].as_str() {
        Some("no_tables") => {
            Err(Fault::new("D1 has no tables: no migration is applied", format!("apply them: {MIGRATE}")))
        }
        Some("old_tables") => Err(Fault::new(
            format!(
                "the tables of D1 have version {version}, and this build expects {expected}: migrations are missing"
            ),
            format!("apply them: {MIGRATE}"),
        )),
        Some("new_tables") => Err(Fault::new(
            format!(
                "the tables of D1 have version {version}, and this build, which knows {expected}, may not use them"
            ),
            "deploy the build that made them, or a newer one",
        )),
        _ => binding(&bindings["d1"], "LISTING", "D1"),
    };
    let d1 = report.note("D1", d1);
    objects && kv && d1
}

fn binding(view: &Value, name: &str, kind: &str) -> Checked {
    match view["error"].as_str() {
        None => Ok(()),
        Some("missing") => Err(Fault::new(
            format!("the binding {name} of {kind} is missing"),
            "bind it in wrangler.toml, as the repository's wrangler.toml does, and deploy",
        )),
        Some(_) => Err(Fault::new(
            format!("{kind} (the binding {name}) cannot be reached"),
            "see that wrangler.toml names what is there in this account; https://www.cloudflarestatus.com tells of outages",
        )),
    }
}

fn client_address(diagnostics: &Value) -> Checked {
    if diagnostics["has_client_address"] == true {
        return Ok(());
    }
    Err(Fault::new(
        "requests arrive without CF-Connecting-IP, so all callers share one bucket: a stranger can use it up for everybody",
        "let callers reach the Worker through Cloudflare, and switch off the transform rule that removes the visitor's address",
    ))
}

/// Whether the cron trigger runs. A deployment that is new may wait for its first run.
fn cron(diagnostics: &Value) -> Finding {
    let check = "see that wrangler.toml has the [triggers] of the repository, deploy, and look at the Worker's cron events in the \
                 dashboard. If it was deployed only now, run this command again in half an hour";
    let cron = &diagnostics["cron"];
    match (cron["ran_s_ago"].as_i64(), cron["noted_for_s"].as_i64()) {
        (Some(age), _) if age <= CRON_LATE_S => Finding::Good,
        (Some(age), _) => {
            let what = format!("the cron trigger last ran {} minutes ago, and comes every 15", age / 60);
            Finding::Wrong(Fault::new(what, check))
        }
        (None, Some(age)) if age <= CRON_NEW_S => Finding::Note(
            "it has not run yet, and may take half an hour until it does. Run this command again then".to_owned(),
        ),
        (None, Some(age)) => {
            let what = format!("the cron trigger has not run in the {} minutes since its table was made", age / 60);
            Finding::Wrong(Fault::new(what, check))
        }
        (None, None) => {
            Finding::Wrong(Fault::new("D1 does not say when the cron trigger ran", format!("run {MIGRATE}")))
        }
    }
}

/// Whether the object of the newest organization answers, with tables of this build.
pub fn object(admin: &Client) -> Checked {
    let diagnostics = admin.get(DIAGNOSTICS)?.expect(200)?;
    let object = &diagnostics["bindings"]["organization"];
    let expected = diagnostics["build"]["object_schema_version"].as_i64();
    match (object["error"].as_str(), object["schema_version"].as_i64()) {
        (None, version) if version.is_some() && version >= expected => Ok(()),
        (None, Some(version)) => Err(Fault::new(
            format!("an object has tables of version {version}, older than those of the edge's build"),
            "wait a minute: a deployment is under way. If it stays so, deploy again",
        )),
        _ => Err(Fault::new(
            "the object of the newest organization does not answer this build",
            "wait a minute: a deployment may be under way. If it stays so, the log says why (npx wrangler tail)",
        )),
    }
}

//! `cargo xtask verify URL`: holds a running deployment against the contract, with the operator's token.
//!
//! Invariants:
//!
//! - Every request has a time limit and every loop a bound, so the command ends.
//! - The organization that it makes is deleted before it ends, whatever failed and whoever interrupted it. If that fails
//!   too, the table says what is left.
//! - It follows no redirect, so the token goes only to the URL that was given.

mod answer;
mod checks;
mod client;
mod deployment;
mod dialects;
mod distance;
mod life;
mod observations;
mod organization;
mod people;
mod refusals;
pub mod report;
mod wait;

use console::Term;
use serde_json::Value;

use crate::served::ADMIN_TOKEN;
use crate::{Result, interrupt, step};
use client::Client;
use life::Life;
use organization::Organization;
use report::{Fault, Finding, Report};

/// The operator's token: from the environment, else from whoever sits at the terminal, who does not see it.
pub fn token() -> Result<String> {
    let set = std::env::var(ADMIN_TOKEN).ok();
    let token = match set.filter(|token| !token.is_empty()) {
        Some(token) => token,
        None if Term::stderr().is_term() => {
            eprint!("ADMIN_TOKEN of the deployment: ");
            Term::stderr().read_secure_line()?
        }
        None => String::new(),
    };
    let token = token.trim();
    // A header takes no others.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("set {ADMIN_TOKEN} to the deployment's ADMIN_TOKEN").into());
    }
    Ok(token.to_owned())
}

/// Prints what is not as it should be. Fails if something is.
pub fn run(url: &str, admin_token: &str) -> Result<()> {
    let report = examine(url, admin_token)?;
    println!("{report}");
    match report.faults().count() {
        0 => Ok(()),
        1 => Err("one thing is not as it should be".into()),
        count => Err(format!("{count} things are not as they should be").into()),
    }
}

/// Looks at everything, and cleans up.
pub fn examine(url: &str, admin_token: &str) -> Result<Report> {
    check_url(url)?;
    let anonymous = Client::new(url);
    let admin = anonymous.bearer(admin_token);
    let slug = organization::random_slug()?;
    let mut report = Report::default();
    step(format!("Looking at {url}"));
    if let Some(diagnostics) = deployment::look(&anonymous, &admin, &mut report) {
        step("Making an organization");
        match organization::make(&admin, &slug) {
            Ok(id) => {
                live(&anonymous, &admin, &id, &diagnostics, &mut report);
                step("Deleting the organization");
                report.note("deletion", organization::delete(&admin, &id));
            }
            Err(fault) => report.add("organization", Finding::Wrong(fault)),
        }
        for (name, checked) in anonymous.observations().checks() {
            report.note(name, checked);
        }
    }
    if interrupt::happened() {
        report.add("interrupted", Finding::Wrong(Fault::new("not everything was looked at", "run the command again")));
    }
    Ok(report)
}

fn live(anonymous: &Client, admin: &Client, id: &str, diagnostics: &Value, report: &mut Report) {
    report.note("object", deployment::object(admin));
    let organization = match Organization::issue_keys(anonymous, admin, id) {
        Ok(organization) => organization,
        Err(fault) => return report.add("keys", Finding::Wrong(fault)),
    };
    report.add("keys", Finding::Good);
    let life = Life { organization: &organization, anonymous, diagnostics };
    if checks::go_through(&life, report) {
        match distance::measure(&life) {
            Ok(distances) => report.distances = distances,
            Err(fault) => report.add("distance", Finding::Wrong(fault)),
        }
    }
}

fn check_url(url: &str) -> Result<()> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(host)
            if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)) =>
        {
            Ok(())
        }
        _ => Err(format!("{url} is no URL of a Worker, such as https://rollcall.example.workers.dev").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_no_path() {
        for good in ["https://h", "https://h/", "http://127.0.0.1:8787"] {
            assert!(check_url(good).is_ok(), "{good}");
        }
        for bad in ["h", "ftp://h", "https://", "https://h/v1", "https://u:p@h", "https://h?q", "https://h h"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}

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

use serde_json::Value;

use crate::served::checked_url;
use crate::{Result, interrupt, step};
use client::Client;
use life::Life;
use organization::Organization;
use report::{Fault, Finding, Report};

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
    let anonymous = Client::new(&checked_url(url)?);
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

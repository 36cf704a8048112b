//! The operator's account at Cloudflare, by wrangler. Each call finds what an earlier one made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::deploy::advice::again;
use crate::deploy::configuration::{Configuration, DATABASE_BINDING};
use crate::tools::Tools;
use crate::{Error, Result, process, root, secrets, step};

/// What wrangler says, and what the operator does about it.
const REMEDIES: &[(&str, &str)] = &[
    ("necessary to set a CLOUDFLARE_API_TOKEN", NOT_LOGGED_IN),
    ("Not logged in", NOT_LOGGED_IN),
    ("[code: 9109]", NOT_ALLOWED),
    ("[code: 10000]", NOT_ALLOWED),
    (
        "register a workers.dev subdomain",
        "Register a workers.dev subdomain where wrangler says, or set a route and --url.",
    ),
];
const NOT_LOGGED_IN: &str = "wrangler is not logged in: npx wrangler login";
const NOT_ALLOWED: &str = "Cloudflare refuses these credentials. Log in again: npx wrangler login. If \
                           CLOUDFLARE_API_TOKEN is set, its token needs the rights to edit Workers, KV and D1.";

/// What wrangler says of a Worker that is not there yet.
const NO_WORKER: &str = "not found";

#[derive(Debug)]
pub struct Account<'a> {
    pub tools: &'a Tools,
    pub configuration: &'a Configuration,
    /// Where this deployment's files are.
    pub folder: &'a Path,
}

impl Account<'_> {
    /// The names of the Worker's secrets. None if there is no such Worker.
    pub fn secrets(&self) -> Result<Vec<String>> {
        let purpose = "Asking Cloudflare for the Worker";
        let worker = &self.configuration.name;
        match process::run_quietly(&mut self.wrangler(&["secret", "list", "--format", "json"]), purpose) {
            Ok(list) => names(&list, "name"),
            Err(error) if error.to_string().contains(&format!("Worker \"{worker}\" {NO_WORKER}")) => Ok(Vec::new()),
            Err(error) => Err(with_remedy(error)),
        }
    }

    /// Finds or makes the stores that wrangler.toml leaves to be made. Returns the id of the KV namespace.
    ///
    /// At a deployment wrangler makes them too, but a namespace that an interrupted deployment left behind stops each
    /// further one: <https://github.com/cloudflare/workers-sdk/issues/14284>.
    pub fn ensure_stores(&self) -> Result<Option<String>> {
        step("Looking for the stores");
        if self.configuration.makes_database {
            self.ensure_database()?;
        }
        if self.configuration.has_namespace() { Ok(None) } else { self.ensure_namespace().map(Some) }
    }

    fn ensure_database(&self) -> Result<()> {
        let name = &self.configuration.database_name;
        let list = self.run(&["d1", "list", "--json"], "Asking for the D1 databases")?;
        if names(&list, "name")?.contains(name) {
            return Ok(());
        }
        step(format!("Making the D1 database {name}"));
        let mut arguments = vec!["d1", "create", name];
        if let Some(jurisdiction) = self.configuration.database_jurisdiction()? {
            arguments.extend(["--jurisdiction", jurisdiction]);
        }
        self.run(&arguments, "Making the D1 database").map(drop)
    }

    fn ensure_namespace(&self) -> Result<String> {
        let title = self.configuration.namespace_title();
        if let Some(id) = self.namespace(&title)? {
            return Ok(id);
        }
        step(format!("Making the KV namespace {title}"));
        self.run(&["kv", "namespace", "create", &title], "Making the KV namespace")?;
        self.namespace(&title)?
            .ok_or_else(|| again(format!("the KV namespace {title} was made and is not there").into()))
    }

    fn namespace(&self, title: &str) -> Result<Option<String>> {
        let list = self.run(&["kv", "namespace", "list"], "Asking for the KV namespaces")?;
        let found = entries(&list)?.into_iter().find(|namespace| namespace["title"] == title);
        Ok(found.and_then(|namespace| namespace["id"].as_str().map(str::to_owned)))
    }

    /// Applies the migrations that the database lacks. Refuses a database that has others: it belongs to a newer build,
    /// or to something else.
    pub fn migrate(&self) -> Result<()> {
        step("Applying the migrations");
        let ours = migrations()?;
        let applied = self.applied()?;
        let unknown: Vec<&str> = applied.iter().filter(|name| !ours.contains(name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(format!(
                "the database {} has migrations that this checkout does not know: {}. A newer version was deployed; \
                 deploy that version, or a later one.",
                self.configuration.database_name,
                unknown.join(", ")
            )
            .into());
        }
        if ours.iter().all(|name| applied.contains(name)) {
            return Ok(());
        }
        let arguments = ["d1", "migrations", "apply", DATABASE_BINDING, "--remote"];
        self.run(&arguments, "Applying the migrations").map(drop)
    }

    /// The migrations that the database has.
    fn applied(&self) -> Result<Vec<String>> {
        let select = "SELECT name FROM d1_migrations";
        let arguments = ["d1", "execute", DATABASE_BINDING, "--remote", "--json", "--command", select];
        let purpose = "Asking for the applied migrations";
        let answer = match process::run_quietly(&mut self.wrangler(&arguments), purpose) {
            Err(error) if error.to_string().contains("no such table: d1_migrations") => return Ok(Vec::new()),
            answer => answer.map_err(with_remedy)?,
        };
        let mut results = entries(&answer)?;
        let rows = results.first_mut().map(|result| result["results"].take());
        let rows = rows.ok_or_else(|| again(format!("{purpose}: wrangler answered {answer}").into()))?;
        names(&rows.to_string(), "name")
    }

    /// Uploads the built Worker and makes it serve. Returns where wrangler says that it serves.
    pub fn deploy(&self, namespace_id: Option<&str>, new: &[(&str, &str)]) -> Result<Vec<String>> {
        step("Deploying the Worker");
        let (configuration, secrets_file) = (self.folder.join("wrangler.json"), self.folder.join("secrets.json"));
        let report = self.folder.join("report.ndjson");
        fs::write(&configuration, self.configuration.of_deployment(namespace_id)?.to_string())?;
        fs::write(&report, "")?;
        let mut wrangler = self.wrangler_by(&configuration, &["deploy"]);
        wrangler.env("WRANGLER_OUTPUT_FILE_PATH", &report);
        if !new.is_empty() {
            let values: serde_json::Map<String, Value> =
                new.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            secrets::write_private(&secrets_file, &Value::Object(values).to_string())?;
            wrangler.arg("--secrets-file").arg(&secrets_file);
        }
        let deployed = process::run_quietly(&mut wrangler, "Deploying").map_err(with_remedy);
        let _ = fs::remove_file(secrets_file);
        deployed?;
        Ok(targets(&fs::read_to_string(report)?))
    }

    fn run(&self, arguments: &[&str], purpose: &str) -> Result<String> {
        process::run_quietly(&mut self.wrangler(arguments), purpose).map_err(with_remedy)
    }

    fn wrangler(&self, arguments: &[&str]) -> Command {
        self.wrangler_by(&root().join("wrangler.toml"), arguments)
    }

    /// Wrangler asks no questions, because its standard input is no terminal.
    fn wrangler_by(&self, configuration: &Path, arguments: &[&str]) -> Command {
        let mut command = self.tools.command(self.tools.binary("wrangler"));
        command.args(arguments).arg("--config").arg(configuration);
        // Wrangler is megabytes of source, which Node compiles once.
        command.env("NODE_COMPILE_CACHE", root().join("target/node-compile-cache"));
        // With its banner it asks npm for a newer version. This one is pinned.
        command.env("WRANGLER_HIDE_BANNER", "true");
        command
    }
}

/// The names of this checkout's migrations.
fn migrations() -> Result<Vec<String>> {
    let entries: Vec<PathBuf> =
        fs::read_dir(root().join("migrations"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    Ok(entries.iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
}

/// The targets that wrangler's report of a deployment names.
/// <https://developers.cloudflare.com/workers/wrangler/system-environment-variables/>
fn targets(report: &str) -> Vec<String> {
    let mut lines = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let deployed = lines.rfind(|line| line["type"] == "deploy");
    let targets = deployed.as_ref().and_then(|line| line["targets"].as_array());
    targets.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn entries(text: &str) -> Result<Vec<Value>> {
    serde_json::from_str(text).map_err(|error| again(format!("wrangler answered no list: {error}: {text}").into()))
}

/// One member of each entry of a list.
fn names(text: &str, member: &str) -> Result<Vec<String>> {
    Ok(entries(text)?.iter().filter_map(|entry| entry[member].as_str().map(str::to_owned)).collect())
}

fn with_remedy(error: Error) -> Error {
    let text = error.to_string();
    let remedy = REMEDIES.iter().find(|(said, _)| text.contains(said)).map(|(_, remedy)| format!("\n{remedy}"));
    again(format!("{text}{}", remedy.unwrap_or_default()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_where_the_worker_serves() {
        let report = "{\"type\":\"wrangler-session\",\"version\":1}\n{\"type\":\"deploy\",\"targets\":\
                      [\"https://rollcall.acme.workers.dev\",\"schedule: */15 * * * *\"]}\n";
        assert_eq!(targets(report), ["https://rollcall.acme.workers.dev", "schedule: */15 * * * *"]);
        assert_eq!(targets("{\"type\":\"wrangler-session\"}\nno json\n"), Vec::<String>::new());
    }
}

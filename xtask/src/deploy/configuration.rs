//! What a deployment needs of wrangler.toml, and the configuration that wrangler deploys by.

use std::fs;

use serde_json::{Map, Value, json};

use crate::{Result, root, wasm};

/// The binding of the KV namespace.
const NAMESPACE_BINDING: &str = "RECORDS";
/// The binding of the D1 database.
pub const DATABASE_BINDING: &str = "LISTING";
/// The jurisdictions in which D1 makes databases. Objects know more.
const DATABASE_JURISDICTIONS: &[&str] = &["eu", "us", "fedramp"];

/// wrangler.toml, read.
#[derive(Debug)]
pub struct Configuration {
    document: Map<String, Value>,
    /// The Worker's name.
    pub name: String,
    pub database_name: String,
    /// Whether wrangler.toml leaves the database's id out, so that it is found, or made, by its name.
    pub makes_database: bool,
    /// The jurisdiction in which to make the database.
    pub jurisdiction: Option<String>,
}

impl Configuration {
    pub fn read() -> Result<Self> {
        Self::parse(&fs::read_to_string(root().join("wrangler.toml"))?)
    }

    fn parse(text: &str) -> Result<Self> {
        let document: Map<String, Value> = toml::from_str(text).map_err(|error| format!("wrangler.toml: {error}"))?;
        let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
            return Err("wrangler.toml: name is to be the Worker's, of letters, digits and dashes".into());
        }
        binding_of(&document, "kv_namespaces", NAMESPACE_BINDING)?;
        let database = binding_of(&document, "d1_databases", DATABASE_BINDING)?;
        let database_name = database.get("database_name").and_then(Value::as_str);
        let database_name = database_name.ok_or("wrangler.toml: the database LISTING has no database_name")?.to_owned();
        let makes_database = !database.contains_key("database_id");
        let jurisdiction = document.get("vars").and_then(|vars| vars.get("JURISDICTION")).and_then(Value::as_str);
        let jurisdiction = jurisdiction.filter(|jurisdiction| !jurisdiction.is_empty()).map(str::to_owned);
        Ok(Self { document, name, database_name, makes_database, jurisdiction })
    }

    /// The option by which wrangler makes the database where JURISDICTION says.
    pub fn database_jurisdiction(&self) -> Result<Option<&str>> {
        match self.jurisdiction.as_deref() {
            Some(jurisdiction) if !DATABASE_JURISDICTIONS.contains(&jurisdiction) => Err(format!(
                "D1 makes no databases in the jurisdiction {jurisdiction}. Make one yourself and put its id into \
                 wrangler.toml, as database_id of LISTING: npx wrangler d1 create {}",
                self.database_name
            )
            .into()),
            jurisdiction => Ok(jurisdiction),
        }
    }

    /// Whether wrangler.toml names the namespace.
    pub fn has_namespace(&self) -> bool {
        let binding = binding_of(&self.document, "kv_namespaces", NAMESPACE_BINDING);
        binding.is_ok_and(|binding| binding.contains_key("id"))
    }

    /// The namespace's title where wrangler.toml does not name it: the one that wrangler itself would give it.
    pub fn namespace_title(&self) -> String {
        format!("{}-{}", self.name, NAMESPACE_BINDING.to_lowercase())
    }

    /// Whether wrangler says where the Worker serves.
    pub fn is_on_workers_dev(&self) -> bool {
        let routes = ["route", "routes"].iter().any(|name| self.document.contains_key(*name));
        self.document.get("workers_dev").and_then(Value::as_bool).unwrap_or(!routes)
    }

    /// The configuration to deploy the built Worker by, which stands in another folder. Without a namespace wrangler
    /// keeps the one that the Worker has.
    pub fn of_deployment(&self, namespace_id: Option<&str>) -> Result<Value> {
        let mut document = self.document.clone();
        // The Worker is built already.
        document.remove("build");
        document.insert("main".to_owned(), json!(wasm::Build::default().folder.join(wasm::ENTRY)));
        let directory = document.get_mut("assets").and_then(|assets| assets.get_mut("directory"));
        let directory = directory.ok_or("wrangler.toml: there is no directory of assets")?;
        *directory = json!(root().join(directory.as_str().unwrap_or_default()));
        if let Some(id) = namespace_id {
            let bindings = document.get_mut("kv_namespaces").and_then(Value::as_array_mut);
            for binding in bindings.into_iter().flatten().filter(|binding| binding["binding"] == NAMESPACE_BINDING) {
                binding["id"] = json!(id);
            }
        }
        Ok(Value::Object(document))
    }
}

fn binding_of<'a>(document: &'a Map<String, Value>, table: &str, name: &str) -> Result<&'a Map<String, Value>> {
    let bindings = document.get(table).and_then(Value::as_array).into_iter().flatten();
    let found = bindings.filter_map(Value::as_object).find(|binding| binding.get("binding") == Some(&json!(name)));
    found.ok_or_else(|| format!("wrangler.toml: there is no binding {name} in [[{table}]]").into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn edited(edit: impl Fn(&str) -> String) -> Result<Configuration> {
        Configuration::parse(&edit(&fs::read_to_string(root().join("wrangler.toml"))?))
    }

    #[test]
    fn the_projects_own_names_no_ids() -> Result<()> {
        let configuration = Configuration::read()?;
        assert!(configuration.makes_database && !configuration.has_namespace() && configuration.is_on_workers_dev());
        assert_eq!(configuration.namespace_title(), "rollcall-records");
        let of_deployment = configuration.of_deployment(Some("0f0f"))?;
        assert_eq!(of_deployment["kv_namespaces"][0]["id"], "0f0f");
        assert!(configuration.of_deployment(None)?["kv_namespaces"][0]["id"].is_null());
        assert_eq!(of_deployment["build"], Value::Null);
        for path in [&of_deployment["main"], &of_deployment["assets"]["directory"]] {
            assert!(path.as_str().is_some_and(|path| Path::new(path).is_absolute()), "{path}");
        }
        Ok(())
    }

    #[test]
    fn what_the_operator_sets_is_kept() -> Result<()> {
        let configuration = edited(|text| {
            let text = text.replace("preview_id", "id = \"mine\"\npreview_id");
            text.replace("database_name = \"rollcall\"", "database_name = \"people\"\ndatabase_id = \"also-mine\"")
        })?;
        assert!(!configuration.makes_database && configuration.has_namespace());
        assert_eq!(configuration.database_name, "people");
        assert_eq!(configuration.of_deployment(None)?["kv_namespaces"][0]["id"], "mine");
        Ok(())
    }

    #[test]
    fn the_database_is_made_where_the_objects_are() -> Result<()> {
        let made_in = |jurisdiction: &str| -> Result<Option<String>> {
            let set = format!("[vars]\nJURISDICTION = \"{jurisdiction}\"");
            edited(|text| text.replace("[vars]", &set))?.database_jurisdiction().map(|found| found.map(str::to_owned))
        };
        assert_eq!(made_in("eu")?.as_deref(), Some("eu"));
        assert_eq!(made_in("")?, None);
        assert!(made_in("fedramp-high").is_err_and(|error| error.to_string().contains("database_id")));
        assert_eq!(Configuration::read()?.database_jurisdiction()?, None);
        Ok(())
    }

    #[test]
    fn a_worker_that_is_not_on_workers_dev_is_elsewhere() -> Result<()> {
        let off = edited(|text| text.replace("workers_dev = true", "workers_dev = false"))?;
        let routed = edited(|text| text.replace("workers_dev = true", "route = \"users.example.com/*\""))?;
        assert!(!off.is_on_workers_dev() && !routed.is_on_workers_dev());
        Ok(())
    }

    #[test]
    fn a_fault_is_named() {
        for (from, to, named) in [
            ("name = \"rollcall\"", "name = \"../rollcall\"", "name"),
            ("binding = \"RECORDS\"", "binding = \"COPIES\"", "RECORDS"),
            ("binding = \"LISTING\"", "binding = \"LISTS\"", "LISTING"),
            ("database_name = \"rollcall\"", "", "database_name"),
            ("[assets]", "[assets", "wrangler.toml"),
        ] {
            let error =
                edited(|text| text.replacen(from, to, 1)).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(error.contains(named), "{to}: {error}");
        }
    }
}

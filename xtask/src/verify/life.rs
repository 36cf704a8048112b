//! What a check of the organization's life may ask.

use serde_json::Value;

use super::client::Client;
use super::organization::Organization;

pub struct Life<'a> {
    pub organization: &'a Organization,
    pub anonymous: &'a Client,
    pub diagnostics: &'a Value,
}

impl Life<'_> {
    /// The value of a setting that is no secret.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let settings = self.diagnostics["settings"].as_array()?;
        settings.iter().find(|setting| setting["name"] == name)?["value"].as_str()
    }
}

//! Where an organization's objects are.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The part of the world in which an organization's objects are made: a wish, which the platform follows if it can. It
/// counts when an object is made, and an object does not move.
/// <https://developers.cloudflare.com/durable-objects/reference/data-location/>
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum LocationHint {
    /// Western North America.
    Wnam,
    /// Eastern North America.
    Enam,
    /// South America.
    Sam,
    /// Western Europe.
    Weur,
    /// Eastern Europe.
    Eeur,
    /// Asia-Pacific.
    Apac,
    /// Oceania.
    Oc,
    /// Africa.
    Afr,
    /// The Middle East.
    Me,
}

/// The jurisdiction that all objects of a deployment are bound to: they run and store data there only. The same name is
/// another object in another jurisdiction, so a deployment keeps the one that it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Jurisdiction {
    Eu,
    Us,
    Fedramp,
    FedrampHigh,
}

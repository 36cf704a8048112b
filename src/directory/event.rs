//! Events: the changes of a tenant that its callers can follow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// What happened. The text is the form that is stored, sent, and named by filters.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    IntoStaticStr,
    VariantArray,
)]
#[strum(const_into_str)]
pub enum EventType {
    #[serde(rename = "end_user.created")]
    #[strum(serialize = "end_user.created")]
    EndUserCreated,
    #[serde(rename = "end_user.updated")]
    #[strum(serialize = "end_user.updated")]
    EndUserUpdated,
    #[serde(rename = "end_user.erasure_requested")]
    #[strum(serialize = "end_user.erasure_requested")]
    EndUserErasureRequested,
    #[serde(rename = "end_user.erased")]
    #[strum(serialize = "end_user.erased")]
    EndUserErased,
    #[serde(rename = "agent.created")]
    #[strum(serialize = "agent.created")]
    AgentCreated,
    #[serde(rename = "agent.updated")]
    #[strum(serialize = "agent.updated")]
    AgentUpdated,
    #[serde(rename = "agent.deleted")]
    #[strum(serialize = "agent.deleted")]
    AgentDeleted,
    #[serde(rename = "relationship.created")]
    #[strum(serialize = "relationship.created")]
    RelationshipCreated,
    #[serde(rename = "relationship.deleted")]
    #[strum(serialize = "relationship.deleted")]
    RelationshipDeleted,
    #[serde(rename = "key.created")]
    #[strum(serialize = "key.created")]
    KeyCreated,
    #[serde(rename = "key.revoked")]
    #[strum(serialize = "key.revoked")]
    KeyRevoked,
    /// The object has taken over the organization's limits.
    #[serde(rename = "organization.updated")]
    #[strum(serialize = "organization.updated")]
    OrganizationUpdated,
    /// 80 % of a quota are used.
    #[serde(rename = "quota.warning")]
    #[strum(serialize = "quota.warning")]
    QuotaWarning,
    #[serde(rename = "quota.exhausted")]
    #[strum(serialize = "quota.exhausted")]
    QuotaExhausted,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SubjectType {
    EndUser,
    Agent,
    Relationship,
    Key,
    Organization,
    Quota,
}

impl EventType {
    /// What such an event is about.
    pub const fn subject(self) -> SubjectType {
        match self {
            Self::EndUserCreated | Self::EndUserUpdated | Self::EndUserErasureRequested | Self::EndUserErased => {
                SubjectType::EndUser
            }
            Self::AgentCreated | Self::AgentUpdated | Self::AgentDeleted => SubjectType::Agent,
            Self::RelationshipCreated | Self::RelationshipDeleted => SubjectType::Relationship,
            Self::KeyCreated | Self::KeyRevoked => SubjectType::Key,
            Self::OrganizationUpdated => SubjectType::Organization,
            Self::QuotaWarning | Self::QuotaExhausted => SubjectType::Quota,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_text_and_names_its_subject() {
        for r#type in EventType::VARIANTS.iter().copied() {
            let text = r#type.into_str();
            assert_eq!(serde_json::to_string(&r#type).unwrap(), format!("\"{text}\""));
            let subject = serde_json::to_value(r#type.subject()).unwrap();
            assert_eq!(text.split('.').next(), subject.as_str());
        }
    }
}

//! The API that a path belongs to.

/// Which API a path belongs to: how its errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    EndUsers,
    Agents,
    Principals,
    Admin,
    Public,
}

impl Dialect {
    /// The dialect in which an unknown path is refused.
    pub fn of_path(path: &str) -> Self {
        let under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/v1") {
            Self::EndUsers
        } else if under("/api/v1/principals") {
            Self::Principals
        } else if under("/api") {
            Self::Agents
        } else if under("/admin") {
            Self::Admin
        } else {
            Self::Public
        }
    }

    /// Whether a browser on another origin may ever call it. Service keys and the
    /// admin token have no business in a browser.
    pub const fn cross_origin(self) -> bool {
        match self {
            Self::EndUsers | Self::Agents | Self::Public => true,
            Self::Principals | Self::Admin => false,
        }
    }
}

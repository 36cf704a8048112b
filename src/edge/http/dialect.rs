//! The API that a path belongs to.

/// The API of a path. It decides the form of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    EndUsers,
    Agents,
    Principals,
    Admin,
    Public,
}

impl Dialect {
    /// The dialect of the error for an unknown path.
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

    /// Whether a browser on another origin may call this API. Service keys and the admin token must not be used in
    /// browsers.
    pub const fn cross_origin(self) -> bool {
        match self {
            Self::EndUsers | Self::Agents | Self::Public => true,
            Self::Principals | Self::Admin => false,
        }
    }
}

//! Members that foreign JSON may leave out or give another form.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A value that counts as absent when it is of another form than expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerant<T>(pub Option<T>);

impl<T> Default for Tolerant<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Tolerant<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(value.get()).ok()))
    }
}

/// A member that may be absent. If it is present it has its form, and `null` is no absence.
#[derive(Debug, Clone, PartialEq)]
pub struct Present<T>(pub Option<T>);

impl<T> Default for Present<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Present<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Sample {
        tolerant: Tolerant<f64>,
        present: Present<String>,
    }

    #[test]
    fn a_tolerant_member_may_have_any_form() {
        let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        for (text, expected) in
            [("1.5", Some(1.5)), ("7", Some(7.0)), ("null", None), ("\"1\"", None), ("1e999", None), (&nested, None)]
        {
            let sample: Sample = serde_json::from_str(&format!("{{\"tolerant\":{text}}}")).unwrap();
            assert_eq!(sample.tolerant.0, expected);
        }
        assert!(serde_json::from_str::<Sample>("{\"tolerant\":01}").is_err());
    }

    #[test]
    fn a_member_that_is_present_has_its_form() {
        let read = |text: &str| serde_json::from_str::<Sample>(text).map(|sample| sample.present.0);
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read("{\"present\":\"a\"}").unwrap().as_deref(), Some("a"));
        assert!(read("{\"present\":null}").is_err() && read("{\"present\":1}").is_err());
    }
}

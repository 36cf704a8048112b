//! Bodies, queries and path parameters, read field by field.
//!
//! Each reader returns typed and valid values, and reports all faults at once, each with the path of its field.

use percent_encoding::percent_decode_str;
use strum::VariantArray;

use crate::fault::Fault;
use crate::field_fault::{FieldFault, Location};
use crate::json::{self, RawValue, members};
use crate::refusal::Refusal;

/// The largest body of an ordinary request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most unknown fields that a response lists, so that it does not grow with the request.
const UNKNOWN_FIELDS_MAX: usize = 50;

/// The largest body of a batch, in bytes.
pub const BATCH_BODY_BYTES_MAX: usize = 1024 * 1024;

/// The fields of one JSON object, taken out one by one.
pub struct Fields<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// The path of the object with a final dot. Empty for the body itself.
    prefix: String,
    faults: Vec<FieldFault>,
}

impl<'a> Fields<'a> {
    pub fn of_body(body: &'a [u8]) -> Result<Self, Fault> {
        let body = json::check(body).map_err(Fault::Malformed)?;
        let not_an_object = || Fault::Malformed(Refusal::new("the body must be a JSON object"));
        Ok(Self { members: members(body).ok_or_else(not_an_object)?.0, prefix: String::new(), faults: Vec::new() })
    }

    /// The fields of an element of an array. The element has its own faults.
    pub fn of_element(element: &'a RawValue) -> Result<Self, Fault> {
        let refusal = || FieldFault::new(Location::Body, "", Refusal::new("must be an object"), Some(element));
        let members = members(element).ok_or_else(|| Fault::Invalid(vec![refusal()]))?;
        Ok(Self { members: members.0, prefix: String::new(), faults: Vec::new() })
    }

    /// A field that must be present and not `null`.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&'a RawValue) -> Result<T, Refusal>) -> Option<T> {
        if let Some(value) = self.take(name) {
            return self.read(name, value, read);
        }
        self.refuse(name, Refusal::new("is required"), None);
        None
    }

    /// A field that may be absent.
    pub fn optional<T>(&mut self, name: &str, read: impl FnOnce(&'a RawValue) -> Result<T, Refusal>) -> Option<T> {
        let value = self.take(name)?;
        self.read(name, value, read)
    }

    /// A field that may be absent or `null`. `null` is `Some(None)`.
    pub fn nullable<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Refusal>,
    ) -> Option<Option<T>> {
        let value = self.take(name)?;
        if value.get() == "null" { Some(None) } else { self.read(name, value, read).map(Some) }
    }

    /// A field that is an object. [`Self::absorb`] reports its faults with those of this object.
    pub fn object(&mut self, name: &str) -> Option<Fields<'a>> {
        let value = self.take(name)?;
        let Some(members) = members(value) else {
            self.refuse(name, Refusal::new("must be an object"), Some(value));
            return None;
        };
        Some(Fields { members: members.0, prefix: format!("{}{name}.", self.prefix), faults: Vec::new() })
    }

    /// Takes the faults of a nested object, after all its fields were taken.
    pub fn absorb(&mut self, nested: Fields<'_>) {
        self.faults.extend(nested.into_faults());
    }

    pub fn refuse(&mut self, name: &str, refusal: Refusal, value: Option<&RawValue>) {
        let path = format!("{}{name}", self.prefix);
        self.faults.push(FieldFault::new(Location::Body, path, refusal, value));
    }

    /// Reports every fault, including unknown fields.
    pub fn finish(self) -> Result<(), Fault> {
        let faults = self.into_faults();
        if faults.is_empty() { Ok(()) } else { Err(Fault::Invalid(faults)) }
    }

    /// [`Self::finish`] for senders that may send further fields. Fields that were not taken are no faults.
    pub fn finish_known(mut self) -> Result<(), Fault> {
        self.members.clear();
        self.finish()
    }

    /// [`Self::absorb`] for such senders.
    pub fn absorb_known(&mut self, nested: Fields<'_>) {
        self.faults.extend(nested.faults);
    }

    fn into_faults(mut self) -> Vec<FieldFault> {
        for (name, value) in std::mem::take(&mut self.members).into_iter().take(UNKNOWN_FIELDS_MAX) {
            self.refuse(&name, Refusal::new("is not a known field"), Some(value));
        }
        self.faults
    }

    /// The value of a field, which stays in place.
    pub fn peek(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(index).1)
    }

    fn read<T>(
        &mut self,
        name: &str,
        value: &'a RawValue,
        read: impl FnOnce(&'a RawValue) -> Result<T, Refusal>,
    ) -> Option<T> {
        read(value).map_err(|refusal| self.refuse(name, refusal, Some(value))).ok()
    }
}

pub fn string(value: &RawValue) -> Result<String, Refusal> {
    json::string(value).ok_or_else(|| Refusal::new("must be a string"))
}

/// A whole number within bounds, both included.
pub fn integer(value: &RawValue, min: u64, max: u64) -> Result<u64, Refusal> {
    whole(value.get())
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Refusal::new(format!("must be a whole number from {min} to {max}")))
}

/// The whole number that a JSON value is, in any spelling. For JSON Schema `1`, `1.0` and `10e-1` are the same
/// integer (2020-12, Core, section 4.2.1; Validation, section 6.1.1), and some languages write only the second.
/// The result is exact, unlike a double.
fn whole(value: &str) -> Option<u64> {
    let (mantissa, exponent) = value.split_once(['e', 'E']).unwrap_or((value, "0"));
    let (units, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [units, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if matches!(significant, "" | "-") {
        return Some(0);
    }
    // The number of zeros that follow the significant digits. A negative number means a fraction.
    let zeros = digits.len().checked_sub(significant.len()).and_then(|dropped| i64::try_from(dropped).ok())?;
    let zeros = zeros.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(exponent.parse().ok()?)?;
    let power = 10_u64.checked_pow(u32::try_from(zeros).ok()?)?;
    significant.parse::<u64>().ok()?.checked_mul(power)
}

/// A variant of an enum, by its text.
pub fn choice<T: Copy + Into<&'static str> + VariantArray>(value: &str) -> Result<T, Refusal> {
    choice_of(value, T::VARIANTS)
}

/// One of these variants of an enum, by its text.
pub fn choice_of<T: Copy + Into<&'static str>>(value: &str, choices: &[T]) -> Result<T, Refusal> {
    choices.iter().copied().find(|choice| (*choice).into() == value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|choice| format!("\"{}\"", (*choice).into())).collect();
        Refusal::new(format!("must be one of {}", names.join(", ")))
    })
}

/// The most parameters of a query. No route has half as many.
const PARAMETERS_MAX: usize = 32;

/// The parameters of a query, taken out one by one.
pub struct QueryFields {
    members: Vec<(String, String)>,
    faults: Vec<FieldFault>,
}

impl QueryFields {
    /// Reads `application/x-www-form-urlencoded` (WHATWG URL, section 5.1). Unlike the standard it refuses bytes
    /// that are not UTF-8 instead of replacing them.
    pub fn parse(query: &str) -> Result<Self, Fault> {
        let mut fields = Self { members: Vec::new(), faults: Vec::new() };
        if query.split('&').count() > PARAMETERS_MAX {
            return Err(Fault::Malformed(Refusal::new(format!("the URL has more than {PARAMETERS_MAX} parameters"))));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?);
            if fields.members.iter().any(|(member, _)| *member == name) {
                fields.refuse(&name, Refusal::new("is given more than once"), None);
            } else {
                fields.members.push((name, value));
            }
        }
        Ok(fields)
    }

    /// Checks the query of a route that has no parameters.
    pub fn none(query: &str) -> Result<(), Fault> {
        Self::parse(query)?.finish()
    }

    pub fn optional<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, Refusal>) -> Option<T> {
        let index = self.members.iter().position(|(member, _)| member == name)?;
        let (_, value) = self.members.swap_remove(index);
        read(&value).map_err(|refusal| self.refuse(name, refusal, Some(&value))).ok()
    }

    /// A parameter with any text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.optional(name, |text| Ok(text.to_owned()))
    }

    pub fn refuse(&mut self, name: &str, refusal: Refusal, value: Option<&str>) {
        let value = value.and_then(|value| json::Text::of(&value).ok());
        self.faults.push(FieldFault::new(Location::Query, name, refusal, value.as_ref().map(json::Text::raw)));
    }

    /// Reports every fault, including unknown parameters.
    pub fn finish(&mut self) -> Result<(), Fault> {
        for (name, value) in std::mem::take(&mut self.members) {
            self.refuse(&name, Refusal::new("is not a known parameter"), Some(&value));
        }
        let faults = std::mem::take(&mut self.faults);
        if faults.is_empty() { Ok(()) } else { Err(Fault::Invalid(faults)) }
    }
}

/// A whole number within bounds, both included, in a query.
pub fn query_integer(value: &str, min: u32, max: u32) -> Result<u32, Refusal> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value
        .parse::<u32>()
        .ok()
        .filter(|number| digits && (min..=max).contains(number))
        .ok_or_else(|| Refusal::new(format!("must be a whole number from {min} to {max}")))
}

/// A path parameter as a value of the vocabulary.
pub fn path_parameter<T>(
    name: &str,
    encoded: Option<&&str>,
    read: impl FnOnce(String) -> Result<T, Refusal>,
) -> Result<T, Fault> {
    let text = decode(encoded.copied().unwrap_or_default())?;
    read(text).map_err(|refusal| Fault::Invalid(vec![FieldFault::new(Location::Path, name, refusal, None)]))
}

/// Decodes percent-escapes strictly: `%` must begin an escape, and the bytes must be UTF-8.
fn decode(encoded: &str) -> Result<String, Fault> {
    let malformed = || Fault::Malformed(Refusal::new("the URL holds a percent-escape that is not valid UTF-8"));
    let escapes_are_whole = encoded.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes().take(2);
        digits.len() == 2 && digits.all(|digit| digit.is_ascii_hexdigit())
    });
    if !escapes_are_whole {
        return Err(malformed());
    }
    percent_decode_str(encoded).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| malformed())
}

/// Joins two inputs. If both have faults, a fault that makes the request unreadable (413, 415, 400, in this
/// order) wins over invalid fields (422). Invalid fields of both are listed together.
pub fn both<A, B>(first: Result<A, Fault>, second: Result<B, Fault>) -> Result<(A, B), Fault> {
    const fn rank(fault: &Fault) -> u8 {
        match fault {
            Fault::PayloadTooLarge { .. } => 0,
            Fault::UnsupportedMediaType => 1,
            Fault::Malformed(_) => 2,
            _ => 3,
        }
    }
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => Err(fault),
        (Err(Fault::Invalid(mut faults)), Err(Fault::Invalid(more))) => {
            faults.extend(more);
            Err(Fault::Invalid(faults))
        }
        (Err(first), Err(second)) => Err(if rank(&first) <= rank(&second) { first } else { second }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_listed_at_once() {
        let mut fields = Fields::of_body(br#"{"a":1,"n":null,"x":true,"o":{"p":"q","r":0}}"#).unwrap();
        assert_eq!(fields.required("a", string), None);
        assert_eq!(fields.required("b", string), None);
        assert_eq!(fields.nullable("n", string), Some(None));
        let mut nested = fields.object("o").unwrap();
        assert_eq!(nested.optional("r", |value| integer(value, 1, 9)), None);
        fields.absorb(nested);
        let Err(Fault::Invalid(faults)) = fields.finish() else { panic!("no faults") };
        let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect();
        assert_eq!(
            faults,
            [
                "a: must be a string",
                "b: is required",
                "o.r: must be a whole number from 1 to 9",
                "o.p: is not a known field",
                "x: is not a known field"
            ]
        );
    }

    #[test]
    fn a_whole_number_may_be_written_in_any_way() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e99999999999999999999", 0),
            ("0.000E-7", 0),
            ("1", 1),
            ("1.0", 1),
            ("1.00000000000000000000000000", 1),
            ("1e3", 1_000),
            ("1E+3", 1_000),
            ("1.5e1", 15),
            ("0.05e+2", 5),
            ("1000e-3", 1),
            ("1200e-2", 12),
            ("10000000000.0", 10_000_000_000),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
            ("1.8446744073709551615e19", u64::MAX),
            ("1844674407370955161500.000e-2", u64::MAX),
        ] {
            assert_eq!(whole(text), Some(expected), "{text}");
        }
        let long = format!("1{}e-60000", "0".repeat(60_000));
        assert_eq!(whole(&long), Some(1));
    }

    #[test]
    fn other_values_are_no_whole_numbers() {
        for text in [
            "-1",
            "-1.0",
            "-1e3",
            "0.1",
            "1.5",
            "1e-1",
            "1234e-2",
            "1e-99999999999999999999",
            "1e99999999999999999999",
            "1e9223372036854775807",
            "1.5e-9223372036854775808",
            "0.99999999999999999999999999",
            "18446744073709551616",
            "1.8446744073709551616e19",
            "1e20",
            "\"1\"",
            "\"\"",
            "\"0\"",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[0]",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn queries_are_decoded_strictly() {
        let mut query = QueryFields::parse("a=x+y%2B&b=%F0%9F%A6%80&&c").unwrap();
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(query.optional("a", text).as_deref(), Some("x y+"));
        assert_eq!(query.optional("b", text).as_deref(), Some("🦀"));
        assert_eq!(query.optional("c", text).as_deref(), Some(""));
        assert!(query.finish().is_ok());
        for bad in ["a=%", "a=%f", "a=%zz", "a=%ff"] {
            assert!(matches!(QueryFields::parse(bad), Err(Fault::Malformed(_))), "{bad}");
        }
        assert!(matches!(QueryFields::parse("a=1&a=2").unwrap().finish(), Err(Fault::Invalid(_))));
    }

    #[test]
    fn integers_have_one_spelling() {
        for bad in ["", "+1", "-1", "1.0", "1e1", " 1", "0", "201", "99999999999"] {
            assert!(query_integer(bad, 1, 200).is_err(), "{bad}");
        }
        assert_eq!(query_integer("200", 1, 200), Ok(200));
    }
}

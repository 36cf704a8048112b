//! What a caller says of the age of an answer (RFC 9111, section 5.2.1).

/// The greatest `max-stale` that means something, in seconds.
pub const MAX_STALE_S_MAX: u32 = 3_600;

/// Reads the `max-stale` of a `Cache-Control` header, in seconds; without a number any age is good. `None` when the
/// header asks for a strong read: it has no `max-stale`, or `no-cache` or `no-store` beside it. What does not read is
/// ignored, as a strong answer is always right.
pub fn max_stale_s(header: &str) -> Option<u32> {
    let mut max_stale_s = None;
    for directive in header.split(',') {
        let (name, value) = directive.split_once('=').map_or((directive, None), |(name, value)| (name, Some(value)));
        let name = name.trim();
        if name.eq_ignore_ascii_case("no-cache") || name.eq_ignore_ascii_case("no-store") {
            return None;
        }
        if name.eq_ignore_ascii_case("max-stale") {
            max_stale_s = match value.map(|value| value.trim().trim_matches('"')) {
                None => Some(MAX_STALE_S_MAX),
                Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Some(digits.parse().unwrap_or(MAX_STALE_S_MAX).min(MAX_STALE_S_MAX))
                }
                Some(_) => None,
            };
        }
    }
    max_stale_s.filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_says_how_old_an_answer_may_be() {
        for (header, expected) in [
            ("max-stale=5", Some(5)),
            ("Max-Stale = 60", Some(60)),
            ("max-age=0, max-stale=\"3\"", Some(3)),
            ("max-stale", Some(3_600)),
            ("max-stale=3600", Some(3_600)),
            ("max-stale=99999999999999999999", Some(3_600)),
            ("max-stale=0", None),
            ("max-stale=-1", None),
            ("max-stale=", None),
            ("max-stale=1.5", None),
            ("max-stale=x", None),
            ("max-stale=5, no-cache", None),
            ("no-store,max-stale=5", None),
            ("max-stalest=5", None),
            ("", None),
        ] {
            assert_eq!(max_stale_s(header), expected, "{header}");
        }
    }
}

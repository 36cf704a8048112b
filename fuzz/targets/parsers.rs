//! Has libFuzzer look for bytes that a parser takes amiss. `ROLLCALL_PARSER` names the parser.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/core/parsers.rs"]
mod parsers;

static PARSER: LazyLock<parsers::Parser> = LazyLock::new(|| {
    let name = std::env::var("ROLLCALL_PARSER").expect("ROLLCALL_PARSER names a parser");
    let found = parsers::PARSERS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no parser {name}")).1
});

fuzz_target!(|data: &[u8]| PARSER(data));

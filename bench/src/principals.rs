//! Where the list of principals holds the users of each kind. A list at an offset refuses pages that are cut by their bytes,
//! so a cursor leads there.

use std::collections::HashMap;

use xtask::Result;

use crate::largest::{Largest, Users};
use crate::letters::Letters;
use crate::raw::encoded;

const PAGE_ROWS_MAX: usize = 200;

/// What a query adds so that the list begins with the users of a kind. They are listed in the order in which they were made,
/// with one more principal after those of each kind of letters.
pub fn places(largest: &Largest) -> Result<HashMap<(Letters, Users), String>> {
    let (mut places, mut from) = (HashMap::new(), String::new());
    for letters in Letters::ALL {
        for users in Users::ALL {
            places.insert((letters, users), from.clone());
            from = past(largest, from, users.count())?;
        }
        from = past(largest, from, 1)?;
    }
    Ok(places)
}

/// The same for what follows so many principals.
fn past(largest: &Largest, mut from: String, mut count: usize) -> Result<String> {
    while count > 0 {
        let path = format!("/api/v1/principals?type=human&limit={}{from}", count.min(PAGE_ROWS_MAX));
        let page = largest.service("GET", path).expect(&largest.authority)?;
        let rows = page["result"].as_array().map_or(0, Vec::len);
        if rows == 0 {
            return Err("there are fewer principals than were made".into());
        }
        count = count.saturating_sub(rows);
        from = page["meta"]["after"].as_str().map(|after| format!("&after={}", encoded(after))).unwrap_or_default();
    }
    Ok(from)
}

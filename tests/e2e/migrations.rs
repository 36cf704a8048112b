//! The migrations of a build, for tests that have D1 execute them.

use std::collections::BTreeMap;
use std::path::Path;

use xtask::former;

/// The texts of the migrations below the folder of a checkout or of a kept build, by name.
pub fn of(folder: &Path) -> BTreeMap<String, String> {
    let entries = folder.join(former::MIGRATIONS).read_dir().expect("the migrations");
    let read = |path: &Path| std::fs::read_to_string(path).expect("a migration");
    let entries = entries.map(|entry| entry.expect("a migration"));
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))).collect()
}

/// The statements of some migrations, in their order.
pub fn statements<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("--");
    let code: Vec<&str> = texts.into_iter().flat_map(|text| text.lines().filter(is_code)).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

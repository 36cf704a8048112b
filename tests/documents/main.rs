//! The documents name only what is there: paths, commands, links, anchors, settings, routes and error codes.

mod document;
mod repository;

use std::fs;

use document::Document;
use repository::{Repository, root};
use serde_json::Value;

/// A stranger reads the README in five minutes.
const README_LINES_MAX: usize = 180;
/// Whys stand in docs/decisions.
const ARCHITECTURE_LINES_MAX: usize = 250;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn documents_name_only_what_is_there() {
    let repository = Repository::read();
    let documents = Document::all();
    assert!(documents.len() > 20, "only {} documents were found", documents.len());
    let findings: Vec<String> = documents.iter().flat_map(|document| document.findings(&repository)).collect();
    assert_none(&findings);
}

#[test]
fn what_is_not_there_is_found() {
    let text = "\
# A title

[no file](docs/missing.md) [no anchor](#nowhere) [no anchor elsewhere](README.md#nowhere) ![no picture](docs/missing.svg)
<img src=\"docs/missing.webp\">

`src/missing/file.rs` `worker/src/missing` `MISSING.md` `cargo missing` `cargo xtask missing` `npx missing`

```sh
ROLLCALL_SEED=1 cargo test --test missing -- --nocapture   # a comment
cargo dev --missing && npm run missing --prefix bench
```

    src/                a map
      nothing/            a folder that is nowhere;  nothing.rs  a file that is nowhere
      organization/       a folder, and core/, which is one elsewhere

[a file](docs/api.md#errors) [an anchor](#a-title) `src/fault.rs` `src/organization` `cargo xtask build` `npx wrangler deploy`
`GET /v1/end-users` `target/dev.json` `cargo fmt --all` `application/json`
";
    let findings = Document::new("SAMPLE.md", text).findings(&Repository::read());
    let expected = [
        "docs/missing.md",
        "#nowhere",
        "README.md#nowhere",
        "docs/missing.svg",
        "docs/missing.webp",
        "src/missing/file.rs",
        "worker/src/missing",
        "MISSING.md",
        "cargo missing",
        "cargo xtask missing",
        "npx missing",
        "--test missing",
        "cargo dev --missing",
        "npm run missing",
        "nothing/",
        "nothing.rs",
    ];
    for what in expected {
        assert!(findings.iter().any(|finding| finding.ends_with(&format!(": {what}"))), "{what}: {findings:#?}");
    }
    assert_eq!(findings.len(), expected.len(), "{findings:#?}");
}

#[test]
fn the_first_documents_are_short() {
    for (path, lines_max) in [("README.md", README_LINES_MAX), ("ARCHITECTURE.md", ARCHITECTURE_LINES_MAX)] {
        let lines = read(path).lines().count();
        assert!(lines <= lines_max, "{path} has {lines} lines, more than {lines_max}");
    }
}

#[test]
fn every_decision_is_in_the_index() {
    let index = read("docs/decisions/README.md");
    let entries = fs::read_dir(root().join("docs/decisions")).expect("the folder of decisions");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let missing: Vec<String> =
        names.filter(|name| name != "README.md" && !index.contains(&format!("({name})"))).collect();
    assert_none(&missing);
}

#[test]
fn every_route_is_in_the_api_document() {
    let api = read("docs/api.md");
    let published: Value = serde_json::from_str(&read("www/openapi.json")).expect("the OpenAPI document");
    let paths = published["paths"].as_object().expect("its paths");
    let missing = paths.keys().filter(|path| !api.contains(path.as_str()));
    assert_none(&missing.cloned().collect::<Vec<_>>());
}

/// `/errors` explains every code, which the e2e tests see to.
#[test]
fn every_error_code_is_in_the_documents_of_callers_and_operators() {
    let (api, operating, page) = (read("docs/api.md"), read("docs/operating.md"), read("www/errors.html"));
    let codes: Vec<&str> =
        page.split("<dt id=\"").skip(1).filter_map(|rest| rest.split_once('"').map(|(code, _)| code)).collect();
    assert!(codes.len() > 10, "{codes:?}");
    let is_explained = |code: &str| {
        // The operator's table has several codes in a row.
        let is_in_row = |line: &str| line.starts_with("| `") && line.contains(&format!("`{code}`"));
        api.contains(&format!("| `{code}` |")) && operating.lines().any(is_in_row)
    };
    let missing = codes.into_iter().filter(|code| !is_explained(code));
    assert_none(&missing.map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn every_setting_is_in_the_configuration_document() {
    let document = read("docs/configuration.md");
    let is_name = |text: &&str| {
        text.len() > 4 && text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let sources = ["src/edge/configuration.rs", "src/clerk/issuer.rs"].map(read);
    let names: Vec<&str> = sources.iter().flat_map(|source| source.split('"')).filter(is_name).collect();
    assert!(names.len() > 10, "{names:?}");
    let missing = names.into_iter().filter(|name| !document.contains(&format!("`{name}`")));
    assert_none(&missing.map(str::to_owned).collect::<Vec<_>>());
}

/// Each row of the tables names the tests that reach its bound.
#[test]
fn every_bound_has_a_test() {
    let document = read("docs/operating.md");
    let (_, bounds) = document.split_once("\n## Bounds\n").expect("the bounds");
    let bounds = bounds.split("\n## ").next().unwrap_or_default();
    let rows = bounds.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let tests: Vec<&str> = rows
        .filter_map(|row| row.rsplit("| ").next())
        .filter(|cell| *cell != "test")
        .flat_map(|cell| cell.split(", "))
        .collect();
    assert!(tests.len() > 100, "only {} tests were found", tests.len());
    let sources: Vec<(String, String)> =
        ["src", "worker/src", "tests/core", "tests/e2e"].into_iter().flat_map(repository::sources).collect();
    let is_there = |test: &str| {
        let name = test.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        name.is_some_and(|name| sources.iter().any(|(_, text)| text.contains(&format!("fn {name}() {{"))))
    };
    assert_none(&tests.into_iter().filter(|test| !is_there(test)).map(str::to_owned).collect::<Vec<_>>());
}

/// CPU time is what a request costs, and a limit on bytes bends code: docs/decisions/020-compiled-for-speed.md.
#[test]
fn nothing_has_a_budget_of_bytes() {
    let documents = Document::all().into_iter().map(|document| (document.path, document.text));
    let documents = documents.filter(|(path, _)| !path.starts_with("docs/decisions/"));
    let sources = ["src", "worker/src", "xtask/src", "bench/src"].into_iter().flat_map(repository::sources);
    let texts: Vec<(String, String)> = documents.chain(sources).collect();
    assert!(texts.len() > 100, "only {} texts were found", texts.len());
    let findings = texts.into_iter().filter_map(|(path, text)| {
        let budget = ["compressed module", "gzip -9", "KB compressed"];
        let found = budget.iter().find(|words| text.contains(**words))?;
        Some(format!("{path}: {found}"))
    });
    assert_none(&findings.collect::<Vec<_>>());
}

//! The structure of the sources: imports go down, never in a circle; files and functions are short
//! enough to be read at once; a name has one meaning.

mod graph;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use graph::Graph;
use sources::{Source, Tree};

/// The layers of the core, from the bottom up. A layer imports from those before it only.
const LAYERS: &[&str] = &[
    "guards",
    "backoff",
    "bounded",
    "refusal",
    "json",
    "directory",
    "field_fault",
    "fault",
    "fetch",
    "input",
    "organization",
    "projection",
    "object",
    "clerk",
    "responder",
    "edge",
];

/// The layers of the edge, likewise.
const EDGE_LAYERS: &[&str] = &[
    "configuration",
    "settings",
    "http",
    "render",
    "denial_cache",
    "public_limiter",
    "leases",
    "waiters",
    "metrics",
    "runtime",
    "waits",
    "log",
    "exchange",
    "calls",
    "following",
    "edge_reads",
    "session",
    "endpoint",
    "operators",
    "organizations",
    "closing",
    "scheduled",
    "endpoints",
    "routes",
    "openapi",
    "pipeline",
];

const LINES_PER_FILE_MAX: usize = 400;
const LINES_PER_FUNCTION_MAX: usize = 70;

/// Functions that are tables: they have one entry a line and no control flow.
const TABLES: &[&str] = &[
    "src/edge/openapi/composed_schemas.rs: composed",
    "src/edge/openapi/operations/end_users.rs: of_one",
    "src/edge/openapi/operations/operator.rs: organizations",
    "src/edge/openapi/operations/operator.rs: keys_and_reports",
    "src/edge/openapi/operations/principals.rs: all",
    "src/edge/openapi/operations/turns.rs: all",
];

/// Everything that is written by hand and shipped, or builds what is shipped.
fn trees() -> Vec<Tree> {
    ["src", "worker/src", "xtask/src", "bench/src", "bench/floor", "bench/twin/src", "examples", "www"]
        .into_iter()
        .map(|folder| Tree::read(folder).unwrap())
        .collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<String> = trees().iter().flat_map(|tree| Graph::of_files(tree).circles()).collect();
    assert!(circles.is_empty(), "files that import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn no_folders_import_each_other_in_a_circle() {
    let circles: Vec<String> = trees().iter().flat_map(Graph::of_folders).flat_map(|graph| graph.circles()).collect();
    assert!(circles.is_empty(), "neighbours that import each other in a circle:\n{}", circles.join("\n"));
}

#[test]
fn imports_go_down() {
    let tree = Tree::read("src").unwrap();
    let mut wrong = Graph::of_files(&tree).arrows_up("src", LAYERS);
    wrong.extend(Graph::of_files(&tree).arrows_up("src/edge", EDGE_LAYERS));
    assert!(wrong.is_empty(), "imports that run up:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_the_core_has_its_place_among_the_layers() {
    let tree = Tree::read("src").unwrap();
    for (folder, layers) in [("src", LAYERS), ("src/edge", EDGE_LAYERS)] {
        let found: BTreeSet<&str> = tree.children(folder).collect();
        let known: BTreeSet<&str> = layers.iter().copied().collect();
        assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "{folder}: not in the list");
        assert_eq!(known.difference(&found).collect::<Vec<_>>(), Vec::<&&str>::new(), "{folder}: no longer there");
    }
}

#[test]
fn files_are_short() {
    let long = |source: &Source| {
        (source.lines > LINES_PER_FILE_MAX).then(|| format!("{}: {} lines", source.path, source.lines))
    };
    let long: Vec<String> = trees().iter().flat_map(|tree| tree.sources.iter().filter_map(long)).collect();
    assert!(long.is_empty(), "files of more than {LINES_PER_FILE_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for tree in trees() {
        for source in &tree.sources {
            for function in source.functions.iter().filter(|function| function.lines > LINES_PER_FUNCTION_MAX) {
                let name = format!("{}: {}", source.path, function.name);
                if !TABLES.contains(&name.as_str()) {
                    long.push(format!("{name}: {} lines", function.lines));
                }
            }
        }
    }
    assert!(long.is_empty(), "functions of more than {LINES_PER_FUNCTION_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn a_type_name_has_one_meaning() {
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tree in ["src", "worker/src"].map(|folder| Tree::read(folder).unwrap()) {
        for source in &tree.sources {
            for name in &source.types {
                homes.entry(name.clone()).or_default().push(source.path.clone());
            }
        }
    }
    homes.retain(|_, homes| homes.len() > 1);
    assert!(homes.is_empty(), "type names with several meanings: {homes:#?}");
}

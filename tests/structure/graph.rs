//! Arrows between files, or between the neighbours in a folder.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{Tree, child};

/// From each node to those that it imports from.
#[derive(Default)]
pub struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    pub fn of_files(tree: &Tree) -> Self {
        Self(tree.sources.iter().map(|source| (source.path.clone(), source.imports.clone())).collect())
    }

    /// A graph for each folder: its nodes are the files and folders directly in it.
    pub fn of_folders(tree: &Tree) -> Vec<Self> {
        let folders: BTreeSet<&str> = tree.sources.iter().flat_map(|source| ancestors(&source.path)).collect();
        let graph = |folder: &str| {
            let mut graph = Self::default();
            for source in &tree.sources {
                let Some(from) = child(&source.path, folder) else { continue };
                let from = format!("{folder}/{from}");
                let to = source.imports.iter().filter_map(|path| child(path, folder));
                let to = to.map(|to| format!("{folder}/{to}")).filter(|to| *to != from).collect::<Vec<_>>();
                graph.0.entry(from).or_default().extend(to);
            }
            graph
        };
        folders.into_iter().map(graph).collect()
    }

    /// The sets of nodes that reach each other, each in words.
    pub fn circles(&self) -> Vec<String> {
        let reach: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|node| (node.as_str(), self.reachable(node))).collect();
        let mut found: BTreeSet<Vec<&str>> = BTreeSet::new();
        for (node, reached) in reach.iter().filter(|(node, reached)| reached.contains(*node)) {
            found.insert(
                reached
                    .iter()
                    .copied()
                    .filter(|other| reach.get(other).is_some_and(|back| back.contains(node)))
                    .collect(),
            );
        }
        found.into_iter().map(|circle| circle.join(", ")).collect()
    }

    fn reachable(&self, node: &str) -> BTreeSet<&str> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![node]);
        while let Some(node) = open.pop() {
            for next in self.0.get(node).into_iter().flatten() {
                if reached.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        reached
    }

    /// The imports by which a layer of a folder imports from one above it; the layers are listed
    /// from the bottom up.
    pub fn arrows_up(&self, folder: &str, layers: &[&str]) -> Vec<String> {
        let place = |path: &str| child(path, folder).and_then(|name| layers.iter().position(|layer| *layer == name));
        let mut wrong = Vec::new();
        for (from, targets) in &self.0 {
            for to in targets {
                if let (Some(low), Some(high)) = (place(from), place(to))
                    && high > low
                {
                    wrong.push(format!("{from} imports from {to}"));
                }
            }
        }
        wrong
    }
}

/// The folders that a path lies in.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(index, _)| path.get(..index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_files_is_found() {
        let tree = Tree::of(
            "src",
            &[
                ("src/lib.rs", "mod a; mod b; mod c;"),
                ("src/a.rs", "use crate::b::B; pub struct A(B);"),
                ("src/b.rs", "use super::c; pub struct B(c::C);"),
                ("src/c.rs", "pub struct C(Option<Box<crate::a::A>>);"),
                ("src/d.rs", "use crate::a::A;"),
            ],
        );
        assert_eq!(Graph::of_files(&tree.unwrap()).circles(), ["src/a.rs, src/b.rs, src/c.rs"]);
    }

    #[test]
    fn a_circle_of_tests_alone_is_none() {
        let files = [
            ("src/a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
            ("src/b.rs", "use crate::a::A; pub struct B(A);"),
        ];
        assert_eq!(Graph::of_files(&Tree::of("src", &files).unwrap()).circles(), Vec::<String>::new());
    }

    #[test]
    fn a_circle_of_folders_is_found_where_no_files_are_in_one() {
        let files = [
            ("src/a/one.rs", "use crate::b::two::Two;"),
            ("src/b/two.rs", "pub struct Two;"),
            ("src/b/three.rs", "use crate::a::four::Four;"),
            ("src/a/four.rs", "pub struct Four;"),
        ];
        let tree = Tree::of("src", &files).unwrap();
        assert_eq!(Graph::of_files(&tree).circles(), Vec::<String>::new());
        let circles: Vec<String> = Graph::of_folders(&tree).iter().flat_map(Graph::circles).collect();
        assert_eq!(circles, ["src/a, src/b"]);
    }

    #[test]
    fn an_import_that_runs_up_is_found() {
        let files = [("src/json/mod.rs", "use crate::edge::Edge;"), ("src/edge.rs", "pub struct Edge;")];
        let graph = Graph::of_files(&Tree::of("src", &files).unwrap());
        assert_eq!(graph.arrows_up("src", &["json", "edge"]), ["src/json/mod.rs imports from src/edge.rs"]);
        assert_eq!(graph.arrows_up("src", &["edge", "json"]), Vec::<String>::new());
    }

    #[test]
    fn a_circle_of_javascript_is_found() {
        let files = [
            ("www/a.js", "import { b } from \"./b.js\";\nexport const a = b;"),
            ("www/b.js", "import {\n  a,\n} from \"./a.js\";\nexport const b = a;"),
        ];
        assert_eq!(Graph::of_files(&Tree::of("www", &files).unwrap()).circles(), ["www/a.js, www/b.js"]);
    }
}

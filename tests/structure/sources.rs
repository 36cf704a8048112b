//! Sources as text and as syntax: what a file imports, its functions and its types.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The sources below one folder.
pub struct Tree {
    pub sources: Vec<Source>,
}

/// One file.
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    pub lines: usize,
    /// Paths of the files that it imports from, among those of its tree.
    pub imports: BTreeSet<String>,
    pub functions: Vec<Function>,
    /// Names of the types that it defines outside of functions and tests.
    pub types: Vec<String>,
}

pub struct Function {
    pub name: String,
    pub lines: usize,
}

impl Tree {
    /// Reads all sources below a folder of the repository.
    pub fn read(folder: &str) -> Result<Self, Box<dyn Error>> {
        let mut paths = Vec::new();
        collect(folder, &mut paths)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let texts: Result<Vec<_>, _> = paths.iter().map(|path| fs::read_to_string(root.join(path))).collect();
        Self::of(folder, &paths.iter().map(String::as_str).zip(texts?.iter().map(String::as_str)).collect::<Vec<_>>())
    }

    /// A tree of files that are given by path and text.
    pub fn of(folder: &str, files: &[(&str, &str)]) -> Result<Self, Box<dyn Error>> {
        let known: BTreeSet<&str> = files.iter().map(|(path, _)| *path).collect();
        let mut sources = Vec::new();
        for (path, text) in files {
            let mut source = Source {
                path: (*path).to_owned(),
                lines: text.lines().count(),
                imports: BTreeSet::new(),
                functions: Vec::new(),
                types: Vec::new(),
            };
            // Files of unit tests import what they test, and whatever they need for it.
            let is_tests = path.ends_with("/tests.rs");
            if Path::new(path).extension().is_some_and(|extension| extension == "rs") && !is_tests {
                let file = syn::parse_file(text).map_err(|error| format!("{path}: {error}"))?;
                let mut reader = Reader { folder, known: &known, depth: 0, source: &mut source };
                reader.visit_file(&file);
            } else if !is_tests {
                source.imports = javascript_imports(path, text, &known);
            }
            source.imports.remove(*path);
            sources.push(source);
        }
        Ok(Self { sources })
    }

    /// The names of a folder's files and folders, without endings; without its own module's file.
    pub fn children<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.sources.iter().filter_map(move |source| child(&source.path, folder))
    }
}

/// The name of what a path names directly below a folder, without the ending of a file.
pub fn child<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
    let name = rest.split('/').next()?;
    let name = name.split('.').next()?;
    (!matches!(name, "mod" | "lib" | "main")).then_some(name)
}

fn collect(folder: &str, paths: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    let mut entries: Vec<_> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().map_err(|name| format!("{}", name.display()))?;
        let path = format!("{folder}/{name}");
        let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
        if entry.file_type()?.is_dir() {
            if name != "node_modules" {
                collect(&path, paths)?;
            }
        } else if matches!(extension, Some("rs" | "js" | "mjs" | "ts")) && !is_library(&name) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether the build put a file among ours: `xtask/src/page_libraries.rs`.
fn is_library(name: &str) -> bool {
    name.starts_with("swagger-ui") || name == "eventsource-parser.js"
}

/// Reads a Rust file: its imports, functions and types.
struct Reader<'a> {
    folder: &'a str,
    known: &'a BTreeSet<&'a str>,
    /// How many functions and blocks surround what is being read.
    depth: usize,
    source: &'a mut Source,
}

impl Reader<'_> {
    /// The module path of the file below its crate: `src/a/mod.rs` and `src/a.rs` are both `a`.
    fn module(&self) -> Vec<String> {
        let inside = self.source.path.strip_prefix(self.folder).unwrap_or_default();
        let inside = inside.trim_start_matches('/').trim_end_matches(".rs");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// Notes the file that a path leads into, if it is one of the tree.
    fn import(&mut self, segments: &[String]) {
        let module = self.module();
        let Some((first, rest)) = segments.split_first() else { return };
        let absolute: Vec<String> = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => module.into_iter().chain(rest.iter().cloned()).collect(),
            "super" => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let kept = module.len().saturating_sub(ups);
                module.into_iter().take(kept).chain(segments.iter().skip(ups).cloned()).collect()
            }
            // A child of this module, if there is one of that name; else another crate.
            _ => module.into_iter().chain(segments.iter().cloned()).collect(),
        };
        let is_explicit = matches!(first.as_str(), "crate" | "super");
        for length in (1..=absolute.len()).rev() {
            let path =
                format!("{}/{}", self.folder, absolute.iter().take(length).cloned().collect::<Vec<_>>().join("/"));
            for candidate in [format!("{path}.rs"), format!("{path}/mod.rs")] {
                if self.known.contains(candidate.as_str()) && (is_explicit || candidate != self.source.path) {
                    let is_child = length > self.module().len();
                    if is_explicit || is_child {
                        self.source.imports.insert(candidate);
                    }
                    return;
                }
            }
        }
    }

    fn import_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| {
            let mut path = prefix.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.import_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.import(prefix),
            syn::UseTree::Name(name) => self.import(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.import(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.import(prefix),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import_tree(prefix, tree)),
        }
    }

    fn function(&mut self, name: &syn::Ident, block: &syn::Block) {
        let span = block.span();
        let lines = span.end().line.saturating_sub(span.start().line).saturating_add(1);
        self.source.functions.push(Function { name: name.to_string(), lines });
    }

    fn define(&mut self, name: &syn::Ident) {
        if self.depth == 0 {
            self.source.types.push(name.to_string());
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.path().is_ident("cfg").then(|| attribute.parse_args::<syn::Path>().ok()).flatten();
        condition.is_some_and(|condition| condition.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.import(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, &item.block);
        self.depth += 1;
        visit::visit_item_fn(self, item);
        self.depth -= 1;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.block);
        self.depth += 1;
        visit::visit_impl_item_fn(self, item);
        self.depth -= 1;
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.define(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.define(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.define(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.define(&item.ident);
        visit::visit_item_type(self, item);
    }
}

/// The relative imports of a JavaScript or TypeScript module (`… from "./x.js"`, `import "./x.js"`).
fn javascript_imports(path: &str, text: &str, known: &BTreeSet<&str>) -> BTreeSet<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let names = text.lines().filter_map(|line| {
        let is_import = line.starts_with("import ") || line.starts_with("export ") || line.starts_with("} from ");
        let (_, rest) = line.split_once('"').filter(|_| is_import)?;
        rest.split_once('"').map(|(name, _)| name).filter(|name| name.starts_with('.'))
    });
    let mut imports = BTreeSet::new();
    for name in names {
        let mut parts: Vec<&str> = folder.split('/').collect();
        for part in name.split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let joined = parts.join("/");
        let candidates = [joined.clone(), format!("{joined}.ts"), joined.replace(".js", ".ts")];
        imports.extend(candidates.into_iter().find(|candidate| known.contains(candidate.as_str())));
    }
    imports
}

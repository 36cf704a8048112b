//! One document, and what in it leads nowhere.

use std::fs;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::repository::{Repository, missing_path, root};

/// Folders that hold documents, beside the top folder.
const FOLDERS: [&str; 4] = ["", "bench", "docs", "docs/decisions"];

pub struct Document {
    /// From the top folder.
    pub path: String,
    pub text: String,
}

impl Document {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn all() -> Vec<Self> {
        let mut documents = Vec::new();
        for folder in FOLDERS {
            for entry in fs::read_dir(root().join(folder)).expect("a folder of documents") {
                let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
                if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                    let path = Path::new(folder).join(&name).to_string_lossy().into_owned();
                    let text = fs::read_to_string(root().join(&path)).expect("a text");
                    documents.push(Self { path, text });
                }
            }
        }
        documents
    }

    /// What it names and is not there: the document, and what it names.
    pub fn findings(&self, repository: &Repository) -> Vec<String> {
        let folder = Path::new(&self.path).parent().unwrap_or_else(|| Path::new(""));
        let mut missing = Vec::new();
        let (mut is_shell, mut is_map) = (false, false);
        for event in Parser::new_ext(&self.text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    missing.extend(self.missing_target(folder, &dest_url));
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    let targets = html.split(['"']).skip(1).step_by(2);
                    let files = targets.filter(|target| target.contains('/') && !target.contains([' ', '(']));
                    missing.extend(files.filter_map(|target| self.missing_target(folder, target)));
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    is_shell = matches!(&kind, CodeBlockKind::Fenced(language) if &**language == "sh");
                    is_map = kind == CodeBlockKind::Indented;
                }
                Event::End(TagEnd::CodeBlock) => (is_shell, is_map) = (false, false),
                Event::Text(text) if is_map => missing.extend(repository.missing_names(&text)),
                Event::Text(text) if is_shell => {
                    missing.extend(text.lines().flat_map(|line| repository.missing_commands(line)));
                }
                Event::Code(code) => {
                    missing.extend(repository.missing_commands(&code));
                    missing.extend(missing_path(folder, &code));
                }
                _ => {}
            }
        }
        missing.into_iter().map(|what| format!("{}: {what}", self.path)).collect()
    }

    fn missing_target(&self, folder: &Path, target: &str) -> Option<String> {
        if target.contains("://") {
            return None;
        }
        let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let file = root().join(folder).join(path);
        let is_there = match anchor {
            None => file.exists(),
            Some(anchor) if path.is_empty() => has_anchor(&self.text, anchor),
            Some(anchor) => fs::read_to_string(file).is_ok_and(|text| has_anchor(&text, anchor)),
        };
        (!is_there).then(|| target.to_owned())
    }
}

/// Whether a heading has this anchor on GitHub: lower case, hyphens for blanks, and nothing but letters, digits and hyphens.
fn has_anchor(text: &str, anchor: &str) -> bool {
    let mut heading: Option<String> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let slug = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                let kept = slug.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character));
                if kept.collect::<String>() == anchor {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

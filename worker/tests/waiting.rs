//! Runs the tests of `src/executor/waiting.js` in Node.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The module that `waiting.js` imports, four folders up: it collects the calls.
const MODULE: &str = "
export const told = { calls: [], trap: undefined };
export function settled(number, how, value) {
  if (told.trap !== undefined) throw told.trap;
  told.calls.push([number, how, value]);
}
";

#[test]
fn the_javascript_half_of_the_executor() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("waiting");
    let folder = root.join("snippets/worker/src/executor");
    fs::create_dir_all(&folder).unwrap();
    fs::write(root.join("package.json"), r#"{ "type": "module" }"#).unwrap();
    fs::write(root.join("index.js"), MODULE).unwrap();
    for file in ["waiting.js", "waiting.test.js"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/executor").join(file);
        fs::copy(source, folder.join(file)).unwrap();
    }
    let node = env::var("NODE").unwrap_or_else(|_| "node".to_owned());
    let output = Command::new(node).arg("--test").arg(folder.join("waiting.test.js")).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

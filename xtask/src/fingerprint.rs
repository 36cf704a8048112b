//! Fingerprints of files, so that no step is done twice.
//!
//! They hash contents and not times: a checkout or a restored cache gives old files new times.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::Result;

/// The fingerprint of files and folders below a folder, and of other inputs such as versions. A missing path counts
/// too.
pub fn of(top: &Path, paths: &[&str], words: &[String]) -> Result<String> {
    let mut files = Vec::new();
    for path in paths {
        collect(&top.join(path), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for word in words {
        add(&mut hasher, word.as_bytes());
    }
    for file in files {
        add(&mut hasher, file.strip_prefix(top)?.as_os_str().as_encoded_bytes());
        add(&mut hasher, &fs::read(&file)?);
    }
    Ok(URL_SAFE_NO_PAD.encode(hasher.finalize()))
}

/// Adds a part with its length, so that two different lists of parts never hash alike.
fn add(hasher: &mut Sha256, part: &[u8]) {
    hasher.update((part.len() as u64).to_le_bytes());
    hasher.update(part);
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Runs an action unless the stamp shows that it was done for this fingerprint. The stamp is written last, so an
/// action that stops half-way is done again.
pub fn unless_done(stamp: &Path, fingerprint: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|done| done == fingerprint) {
        return Ok(());
    }
    let _ = fs::remove_file(stamp);
    action()?;
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(stamp, fingerprint)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_content_and_a_word_count_and_what_lies_elsewhere_does_not() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let write = |name: &str, content: &str| -> Result<()> {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            Ok(fs::write(path, content)?)
        };
        let fingerprint = |word: &str| of(scratch.path(), &["src", "one"], &[word.to_owned()]);
        write("src/deep/file.mjs", "text")?;
        let first = fingerprint("word")?;
        assert_eq!(fingerprint("word")?, first);
        assert_ne!(fingerprint("another")?, first);
        write("elsewhere", "text")?;
        assert_eq!(fingerprint("word")?, first);
        write("one", "")?;
        let second = fingerprint("word")?;
        assert_ne!(second, first);
        fs::rename(scratch.path().join("src/deep/file.mjs"), scratch.path().join("src/deep/other.mjs"))?;
        assert_ne!(fingerprint("word")?, second);
        Ok(())
    }

    #[test]
    fn what_failed_is_done_again_and_what_succeeded_is_not() -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let stamp = scratch.path().join("folder/stamp");
        let failed = unless_done(&stamp, "one", || Err("no network".into()));
        assert!(failed.is_err());
        assert!(!stamp.exists());
        let mut count = 0;
        for fingerprint in ["one", "one", "two"] {
            unless_done(&stamp, fingerprint, || {
                count += 1;
                Ok(())
            })?;
        }
        assert_eq!(count, 2);
        assert!(unless_done(&stamp, "three", || Err("no network".into())).is_err());
        assert!(!stamp.exists(), "a folder that was half changed is taken for whole");
        Ok(())
    }
}

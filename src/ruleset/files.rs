//! Reads a rules directory.
//!
//! Guarantees: takes `*.yaml` and `lists/*.txt` and the names of what lies in `runbooks/`, nothing else; what
//! cannot be read is a problem of the set, not its end, and so is a rule file in another folder. Does not judge
//! what it reads.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::lists::LIST_BYTES_MAX;
use super::sources::Sources;
use crate::event::Millis;
use crate::yaml::FILE_BYTES_MAX;

/// Files of one directory, at most.
const FILES_MAX: usize = 1000;

/// Directories of a rules directory whose files are known by their place.
const FOLDERS: &[&str] = &["lists", "mappings", "notices", "runbooks"];
/// How deep misplaced rule files are looked for.
const DEPTH_MAX: usize = 4;

/// Reads a rules directory. The error is that of the directory itself.
pub fn read(directory: &Path) -> io::Result<Sources> {
    let mut sources = Sources::new(directory.to_string_lossy().replace('\\', "/"));
    let mut count = 0;
    for name in names(directory)? {
        if name.ends_with(".yaml") {
            add(&mut sources, directory, &name, FILE_BYTES_MAX, &mut count);
        } else if name.ends_with(".yml") {
            sources.add_unreadable(&name, "rule files end in .yaml; rename it");
        } else if !FOLDERS.contains(&name.as_str()) {
            tell_misplaced(&mut sources, directory, &name, DEPTH_MAX, &mut count);
        }
    }
    // A directory without lists or runbooks is a whole one.
    for name in names(&directory.join("lists")).unwrap_or_default() {
        if name.ends_with(".txt") {
            add(&mut sources, directory, &format!("lists/{name}"), LIST_BYTES_MAX, &mut count);
        }
    }
    for name in names(&directory.join("runbooks")).unwrap_or_default() {
        sources.add_present(format!("runbooks/{name}"));
    }
    Ok(sources)
}

/// Tells rule files in a directory in which none are read; nobody is to believe that their rules watch.
fn tell_misplaced(sources: &mut Sources, directory: &Path, folder: &str, depth: usize, count: &mut usize) {
    // What is no directory holds no rule files.
    for name in names(&directory.join(folder)).unwrap_or_default() {
        let path = format!("{folder}/{name}");
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            *count += 1;
            if *count <= FILES_MAX {
                let why = "rule files are `*.yaml` directly in the rules directory; move it there";
                sources.add_unreadable(&path, why);
            }
        } else if depth > 1 && directory.join(&path).symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            // A link is not followed: it may lead round in a circle.
            tell_misplaced(sources, directory, &path, depth - 1, count);
        }
    }
}

/// The names in a directory, sorted, without hidden ones: Kubernetes keeps its swaps in those.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn add(sources: &mut Sources, directory: &Path, name: &str, bytes_max: usize, count: &mut usize) {
    *count += 1;
    if *count > FILES_MAX {
        if *count == FILES_MAX + 1 {
            sources.add_unreadable(name, &format!("a rule set has at most {FILES_MAX} files"));
        }
        return;
    }
    let path = directory.join(name);
    let read = fs::metadata(&path).and_then(|meta| {
        if meta.len() > bytes_max as u64 {
            return Err(io::Error::other(format!("it has {} bytes, at most {bytes_max} are read", meta.len())));
        }
        let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = since.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Millis);
        Ok((fs::read(&path)?, modified))
    });
    match read {
        Ok((bytes, modified)) => sources.add(name, bytes, modified),
        Err(error) => sources.add_unreadable(name, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_files_in_a_folder_are_told_and_those_in_known_folders_are_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |path: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, "version: 1\nrules: []\n").expect("written");
        };
        ["a.yaml", "mappings/m.yaml", "notices/zh/n.yaml", "..swap/x.yaml", "attic/notes.md"]
            .into_iter()
            .for_each(write);
        let told = |sources: &Sources| crate::report::render(&sources.unreadable, false).replace('\\', "/");
        let sources = read(directory.path()).expect("a directory");
        assert_eq!(told(&sources), "");
        let digest = sources.digest();
        ["sub/x.yaml", "sub/deeper/y.yml"].into_iter().for_each(write);
        let sources = read(directory.path()).expect("a directory");
        let told = told(&sources);
        assert_eq!(sources.unreadable.len(), 2, "{told}");
        assert!(told.contains("sub/x.yaml: rule files are `*.yaml` directly in the rules directory"), "{told}");
        assert!(told.contains("sub/deeper/y.yml: "), "{told}");
        assert_eq!(sources.digest(), digest, "they are no part of the set");
    }
}

//! The section `[kafka.mappings]`: how the records of topics are read that do not hold our own events.
//!
//! Guarantees: each names a topic that is read, and a file that is there or a mapping that ships. Opens no
//! mapping: `app` does, with everything else that is checked together.

use std::path::PathBuf;

use super::secrets::Folders;
use super::table::{Located, Section};
use crate::event::mapping::{Builtin, builtin};
use crate::report::did_you_mean;

/// The mapping of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMapping {
    /// The topic, by its place in `kafka.topics`.
    pub topic: usize,
    /// Its text.
    pub from: MappingSource,
}

/// Where a mapping is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingSource {
    /// One that ships.
    Builtin(Builtin),
    /// A file.
    File(PathBuf),
}

/// Reads it; `topics` are those that are read.
pub fn read(section: &Section<'_, '_>, topics: &[String], folders: &Folders) -> Vec<TopicMapping> {
    let mut mappings = Vec::new();
    for (topic, from) in section.named_texts() {
        let place = topics.iter().position(|known| *known == topic.value);
        if place.is_none() {
            let message = format!("`{}` has a mapping, but is not among `kafka.topics`", topic.value);
            let help = match did_you_mean(&topic.value, topics.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name it there too: only those topics are read".to_owned(),
            };
            section.refuse_with_help("C007", &topic.at, message, help);
        }
        let from = from.and_then(|from| source(section, &from, folders));
        mappings.extend(place.zip(from).map(|(topic, from)| TopicMapping { topic, from }));
    }
    mappings
}

/// What a mapping's text names: one that ships, or a file.
fn source(section: &Section<'_, '_>, from: &Located<String>, folders: &Folders) -> Option<MappingSource> {
    if let Some(builtin) = builtin().iter().find(|builtin| builtin.name == from.value) {
        return Some(MappingSource::Builtin(*builtin));
    }
    let path = folders.path(&from.value);
    if path.is_file() {
        return Some(MappingSource::File(path));
    }
    let names: Vec<&str> = builtin().iter().map(|builtin| builtin.name).collect();
    let message = format!("`{}` is neither a file nor a mapping that ships", from.value);
    let help = match did_you_mean(&from.value, names.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("a path from this file's folder, or one of {}", names.join(", ")),
    };
    section.refuse_with_help("C006", &from.at, message, help);
    None
}

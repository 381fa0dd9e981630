//! Any bytes as a file of the batch log: raw, and as frames whose checksums are right.
//!
//! Holds: nothing panics; what is not right is cut off once, and the next start finds the same batches, numbered
//! from 1 without a gap.

#![no_main]

#[path = "../../src/disk/mod.rs"]
mod disk;
#[path = "../../src/event/mod.rs"]
mod event;
#[path = "../../src/failpoint.rs"]
mod failpoint;
mod ingest;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/yaml/mod.rs"]
mod yaml;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use disk::{Disk, SimulatedDisk};
use ingest::batch_log::BatchLog;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    match how {
        0 => read_twice(bytes),
        _ => read_twice(&framed(bytes)),
    }
});

/// Frames of the first file: kind, length and content of each, one behind the other, begun by a header of ours.
fn framed(mut bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    put(&mut file, 1, &[&1u16.to_le_bytes()[..], &1u64.to_le_bytes()].concat());
    while let Some(([kind, length], rest)) = bytes.split_first_chunk() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        put(&mut file, *kind, content);
        bytes = rest;
    }
    file
}

fn put(file: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&1u64.to_le_bytes()).update(&(file.len() as u64).to_le_bytes());
    hasher.update(&[kind]).update(content);
    file.extend_from_slice(b"\xf7BL\xf9");
    file.push(kind);
    file.extend_from_slice(&(content.len() as u32).to_le_bytes());
    file.extend_from_slice(&hasher.finalize().as_bytes()[..8]);
    file.extend_from_slice(content);
}

fn read_twice(file: &[u8]) {
    let disk = SimulatedDisk::new(1);
    let folder = Path::new("/log");
    let mut written = disk.create(&folder.join("batches-00000000000000000001.log")).expect("new");
    written.write_all(file).expect("written");
    let open = || BatchLog::open(Arc::new(disk.clone()), folder, 0, false);
    let Ok(first) = open() else { return };
    drop(first.log);
    let again = open().expect("once it was cut it is whole");
    assert!(again.cut.is_none());
    assert_eq!(first.again, again.again);
    assert!(again.again.iter().zip(1..).all(|(logged, number)| logged.taken.number == number));
}

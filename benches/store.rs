//! The state store: how long a checkpoint of 100 000 entities takes, its size, and how fast all of it is read back.
//!
//! `cargo bench --bench store -- [entities] [rounds]`; in each round every tenth entity changes.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench prints its figures and stops where it cannot")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use walletwatch::disk::RealDisk;
use walletwatch::features::store::{
    Changes as _, Checkpoints, FjallStore, Hands, Place, Progress, Redo, Space, Store as _, Stored as _, recover,
};
use walletwatch::telemetry::Metrics;

const VALUE_BYTES: usize = 300;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let entities: u64 = args.next().unwrap_or(1_000_000);
    let rounds: u64 = args.next().unwrap_or(12);
    let folder = tempfile::tempdir_in(".").expect("a folder on a real disk");
    let store = Arc::new(FjallStore::open(folder.path()).expect("made"));
    let place = Place { disk: Arc::new(RealDisk), folder: folder.path().to_path_buf(), store: store.clone() };
    let recovered = recover(&place, &folder.path().join("hash.key"), "k").expect("new");
    let metrics = Metrics::new().expect("metrics");
    let mut checkpoints =
        Checkpoints::start(Hands::Thread, place, &recovered, "k", Duration::ZERO, metrics.clone()).expect("a thread");
    let mut random = 1u64;
    for round in 0..=rounds {
        let changed = if round == 0 { entities } else { entities / 10 };
        let mut redo = Redo::new();
        let begun = Instant::now();
        for n in 0..changed {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let entity = if round == 0 { n } else { (random >> 33) % entities };
            // Keys are hashes: spread over everything.
            let key = entity.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            redo.put(Space::Account, &key, &[(random >> 40) as u8; VALUE_BYTES]);
        }
        let encoded = begun.elapsed();
        let (closes, all) = (metrics.checkpoint_close.get_sample_sum(), metrics.checkpoint.get_sample_sum());
        checkpoints.begin(redo, Progress::default()).expect("begun");
        checkpoints.wait(None);
        checkpoints.check().expect("written");
        println!(
            "{changed:>8} changed: given {:>5} ms, closed {:>5.0} ms, in the store {:>5.0} ms; redo {:>6.1} MB, store {:>6.1} MB",
            encoded.as_millis(),
            (metrics.checkpoint_close.get_sample_sum() - closes) * 1e3,
            (metrics.checkpoint.get_sample_sum() - all) * 1e3,
            metrics.checkpoint_bytes.get() as f64 / 1e6,
            metrics.store_bytes.get() as f64 / 1e6,
        );
    }
    drop(checkpoints);
    let begun = Instant::now();
    let mut read = 0u64;
    store
        .each(Space::Account, &mut |_, value| {
            read += value.len() as u64;
            Ok(())
        })
        .expect("whole");
    println!("read back {:.1} MB in {} ms", read as f64 / 1e6, begun.elapsed().as_millis());
    // The thread that wrote lets go of it in a moment.
    let mut store = Some(store);
    while let Some(held) = store.take() {
        store = Arc::try_unwrap(held).map(drop).err();
    }
    let begun = Instant::now();
    let store = FjallStore::open(folder.path()).expect("there");
    println!("opened, its files checked, in {} ms", begun.elapsed().as_millis());
    let begun = Instant::now();
    for n in 0..10_000u64 {
        let key = (n * 97 % entities).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        assert!(store.get(Space::Account, &key).expect("whole").is_some());
    }
    println!("read one back in {:.1} µs", begun.elapsed().as_secs_f64() * 1e6 / 10_000.0);
    println!("on disk {:.1} MB", store.disk_bytes().expect("measured") as f64 / 1e6);
}

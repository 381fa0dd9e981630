//! Damage: cut files, flipped bytes, noise. Never a panic; an error, or an answer.

use std::net::IpAddr;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use walletwatch::geo::{Database, OpenError};

use super::world::FILES;

const SEED: u64 = 20_261_101;

fn ask(file: &Database) {
    for ip in ["203.0.113.9", "198.18.77.1", "192.0.2.1", "255.255.255.255", "2001:db8:10::1", "::", "ffff::1"] {
        let _ = file.lookup(ip.parse::<IpAddr>().unwrap());
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, make) in FILES {
        let bytes = make();
        for end in (0..bytes.len()).step_by(997) {
            match Database::from_bytes(Path::new(name), bytes[..end].to_vec()) {
                Err(OpenError::NotMmdb { .. } | OpenError::Damaged { .. }) => {}
                other => panic!("{name} cut to {end} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn flipped_bytes_give_an_error_or_an_answer() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut refused = 0;
    for (name, make) in FILES {
        let good = make();
        for _ in 0..500 {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..=3) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= rng.random_range(1..=255_u8);
            }
            match Database::from_bytes(Path::new(name), bytes) {
                Ok(file) => ask(&file),
                Err(_) => refused += 1,
            }
        }
    }
    // Most flips hit a text or a number, which no check can know; the structure must be noticed.
    assert!(refused > 200, "{refused} of 2000 refused");
}

#[test]
fn noise_before_good_metadata_is_refused_or_answered() {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for (name, make) in FILES {
        let good = make();
        let metadata = good.len() - 250;
        for _ in 0..20 {
            let mut bytes = good.clone();
            rng.fill(&mut bytes[..metadata]);
            if let Ok(file) = Database::from_bytes(Path::new(name), bytes) {
                ask(&file);
            }
        }
    }
}

#[test]
fn a_tree_that_leads_back_into_itself_is_refused() {
    let (name, make) = FILES[1];
    let mut bytes = make();
    // The first node's right branch goes to the first node: 24 bits, so bytes 3 to 5 of the file.
    bytes[3..6].copy_from_slice(&[0, 0, 0]);
    assert!(matches!(Database::from_bytes(Path::new(name), bytes), Err(OpenError::Damaged { .. })));
}

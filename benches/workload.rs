//! The events that benches measure with. Shared by the benches.

use walletwatch::sim::{Generator, Plan, Profile};

/// Generated records of the velocity workload, one after the other.
pub fn w3(events: u64, accounts: u64) -> Vec<Vec<u8>> {
    let plan = Plan { accounts: Some(accounts), ..Plan::new(events, 1, Profile::W3) };
    let mut generator = Generator::new(&plan).expect("a good plan");
    let mut lines = Vec::new();
    while let Some(record) = generator.next_record().expect("a record") {
        lines.push(record.value.to_vec());
    }
    lines
}

//! CPU time of this thread, and the events that benches measure with. Shared by the benches.

use walletwatch::sim::{Generator, Plan, Profile};

/// CPU time this thread has used, ns (`/proc/thread-self/schedstat`).
pub fn now_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's CPU time");
    stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("the first number is ns on the CPU")
}

/// What `work` costs, ns of CPU.
pub fn cost_ns(work: impl FnOnce()) -> u64 {
    let before = now_ns();
    work();
    now_ns() - before
}

/// The median and the range of some figures.
pub fn median(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures[(figures.len() - 1) * part / 2];
    (at(1), at(0), at(2))
}

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

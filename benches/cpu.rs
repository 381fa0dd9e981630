//! CPU time of this thread. Shared by the benches.

/// CPU time this thread has used, ns (`/proc/thread-self/schedstat`).
pub fn now_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's CPU time");
    stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("the first number is ns on the CPU")
}

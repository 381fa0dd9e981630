//! The service with so little memory that much of what it remembers is in the store only, killed again and again: it says
//! what one engine says that lets nothing leave, and keeps what that one keeps.

use serde_json::Value;

use super::{BACK_WITHIN, Record, Wallet};
use crate::kit::kafka::broker;
use crate::kit::process::wait_until;
use crate::kit::running::Running;

/// Records of a run.
const RECORDS: u32 = 24_000;
/// Hard ends.
const KILLS: usize = 8;
/// The least that the configuration takes.
const MEMORY: &str = "[state]\ncheckpoint_ms = 1000\nmemory_max_bytes = 1048576\n";

fn sum(service: &Running, name: &str) -> Option<f64> {
    let series = service.scrape()?;
    Some(series.iter().filter(|(s, _)| s.starts_with(name)).map(|(_, n)| n).sum())
}

#[test]
fn with_too_little_memory_and_killed_again_and_again_it_says_what_one_says_that_forgets_alike_and_lets_nothing_leave() {
    let broker = broker();
    let wallet = Wallet::new(broker.topic("cold", 1), &broker.bootstrap, &broker.bootstrap, "");
    let path = wallet.folder.path().join("walletwatch.toml");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(path, config.replace("[state]\n", MEMORY)).expect("written");
    let records: Vec<Record> = wallet.generate(RECORDS);
    let (mut left, mut came_back, mut goes_on) = (0.0, 0.0, 0);
    for part in records.chunks(records.len().div_ceil(KILLS)) {
        let service = wallet.start();
        wallet.write(part);
        // Into this part, or what it takes again before it; and something left for the store.
        wait_until("it is under way", BACK_WITHIN, || {
            let taken = wallet.taken(&service)?;
            let has_moved = sum(&service, "walletwatch_state_left_total")? > 0.0 || left == 0.0;
            (taken * 2 >= part.len() as u64 && has_moved).then_some(())
        });
        left += sum(&service, "walletwatch_state_left_total").unwrap_or(0.0);
        came_back += sum(&service, "walletwatch_state_came_back_total").unwrap_or(0.0);
        service.signal("KILL");
        let went_on = |line: &&Value| line["message"] == "the state is read back: going on where it stands";
        goes_on += service.log().iter().filter(went_on).count();
    }
    let service = wallet.start();
    wallet.has_taken(&service, 0);
    wait_until("what is over is in the store", BACK_WITHIN, || {
        let resident = sum(&service, "walletwatch_state_resident_bytes")?;
        let away = sum(&service, "walletwatch_state_away_entities{")?;
        println!("{resident} bytes, {away} of {} away", sum(&service, "walletwatch_state_entities{")?);
        (resident < 1_048_576.0 && away > 1000.0).then_some(())
    });
    came_back += sum(&service, "walletwatch_state_came_back_total").expect("metrics");
    service.terminate();
    assert!(
        left > 1000.0 && came_back > 1000.0 && goes_on > KILLS / 2,
        "{left} left, {came_back} came back, {goes_on}"
    );
    let agreement = wallet.agrees();
    assert!(agreement.alerts > 10, "nothing to compare: {agreement:?}");
}

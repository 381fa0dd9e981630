//! Decoding: CPU ns per event of the limit (serde_json into the borrowed struct) and of the whole decoder.

#![expect(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod cpu;
mod workload;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use walletwatch::event::{Limits, Millis, Raw, decode};

/// CPU time instead of wall time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = u64;
    fn start(&self) -> u64 {
        cpu::now_ns()
    }
    fn end(&self, before: u64) -> u64 {
        cpu::now_ns() - before
    }
    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }
    fn zero(&self) -> u64 {
        0
    }
    fn to_f64(&self, ns: &u64) -> f64 {
        *ns as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn decoding(criterion: &mut Criterion<CpuTime>) {
    let lines = workload::w3(20_000, 10_000);
    let mut group = criterion.benchmark_group("20 000 events");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.sample_size(20);
    group.bench_function("limit: serde_json into the borrowed struct", |b| {
        b.iter(|| {
            for line in &lines {
                if let Ok(text) = std::str::from_utf8(line) {
                    black_box(Raw::parse(text).is_ok());
                }
            }
        });
    });
    group.bench_function("decode", |b| {
        let limits = Limits::default();
        b.iter(|| {
            for line in &lines {
                black_box(decode(Some(line), Millis(i64::MAX / 2), &limits).is_ok());
            }
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().with_measurement(CpuTime); targets = decoding }
criterion_main!(benches);

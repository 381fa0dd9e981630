//! Decoding: CPU ns per event of the limit (serde_json into the borrowed struct) and of the whole decoder.

#![expect(clippy::expect_used, reason = "a bench stops where it cannot go on")]

mod cpu;
mod workload;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use walletwatch::event::mapping::{self, Origin};
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
    group.bench_function("decode, from Keycloak's records", |b| {
        let limits = Limits::default();
        let records: Vec<String> = (0..lines.len()).map(keycloak_login).collect();
        let builtin = mapping::builtin().iter().find(|builtin| builtin.name == "keycloak");
        let mapping = builtin.and_then(|builtin| builtin.load().ok()).expect("it ships");
        let origin = Origin { topic: "keycloak", partition: 0, offset: 1, stamp: None, key: None };
        b.iter(|| {
            for record in &records {
                let read = mapping.decode(Some(record.as_bytes()), &origin, Millis(i64::MAX / 2), &limits);
                black_box(read.is_ok());
            }
        });
    });
    group.finish();
}

/// A failed login as Keycloak's event listeners write it.
fn keycloak_login(n: usize) -> String {
    format!(
        r#"{{"id":"5e3d2f5b-0f57-4d6f-9f0f-{n:012}","time":1795316645678,"type":"LOGIN_ERROR","realmId":"8f6a2c1e-1111-4a7e-9d54-000000000001","realmName":"wallet","clientId":"wallet-app","userId":"19aeb848-96fc-44f6-b0a3-{n:012}","sessionId":null,"ipAddress":"203.0.113.9","error":"invalid_user_credentials","details":{{"auth_method":"openid-connect","auth_type":"code","redirect_uri":"https://wallet.example/app","code_id":"b669da14-cdbb-41d0-b055-0810a0334607","username":"mei"}}}}"#
    )
}

criterion_group! { name = benches; config = Criterion::default().with_measurement(CpuTime); targets = decoding }
criterion_main!(benches);

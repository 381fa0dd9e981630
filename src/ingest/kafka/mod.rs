//! Kafka in and out: one consumer thread that merges all partitions, one idempotent producer.
//!
//! Guarantees: partitions are assigned, never subscribed; an offset is committed only after what its records
//! caused is acknowledged; nothing is skipped. Does not decode events and does not decide anything.

pub mod order;

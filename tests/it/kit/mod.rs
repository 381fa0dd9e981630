//! The harness: real servers, started by the tests themselves on free ports in temporary folders.
//!
//! Guarantees: a server is up when its `start` returns; it stops when its handle is dropped or when the
//! test process ends, however it ends; what cannot be started fails the test and says what is missing.

pub mod faulty;
pub mod gateway;
pub mod kafka;
pub mod postfix;
pub mod process;
pub mod proxy;
pub mod running;
pub mod service;
pub mod tls;

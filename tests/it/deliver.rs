//! Notices on their way out: the service on a still clock, the channels against servers that misbehave.

mod alerts;
mod mail;
mod service;
mod webhook;

//! What operators see: one struct per operational fact, logs and counts together.

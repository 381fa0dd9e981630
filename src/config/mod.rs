//! The configuration: read whole, every problem at once.

//! What becomes of a published alert: policy, limits, and the desk that remembers.

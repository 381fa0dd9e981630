//! Builds the stages from the configuration, joins them with bounded queues, starts and drains them.

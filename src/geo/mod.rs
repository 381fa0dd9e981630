//! What is known of an address, from MMDB files.

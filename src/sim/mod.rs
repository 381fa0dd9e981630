//! The seeded generator: people, attackers and the truth about both.

//! The mappings that ship with walletwatch, compiled in.
//!
//! Guarantees: each loads without a problem and passes its own tests; a test holds it to that.

use super::{Mapping, load_bytes};
use crate::report::Problem;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// How the configuration names it.
    pub name: &'static str,
    /// Its text, as it stands in `rules/mappings/`.
    pub text: &'static str,
}

impl Builtin {
    /// Loads it.
    pub fn load(&self) -> Result<Mapping, Vec<Problem>> {
        load_bytes(&format!("rules/mappings/{}.yaml", self.name), self.text.as_bytes())
    }
}

/// All of them.
const ALL: &[Builtin] = &[
    Builtin { name: "auth0", text: include_str!("../../../rules/mappings/auth0.yaml") },
    Builtin { name: "cloudevents", text: include_str!("../../../rules/mappings/cloudevents.yaml") },
    Builtin { name: "ecs", text: include_str!("../../../rules/mappings/ecs.yaml") },
    Builtin { name: "keycloak", text: include_str!("../../../rules/mappings/keycloak.yaml") },
    Builtin { name: "ocsf", text: include_str!("../../../rules/mappings/ocsf.yaml") },
    Builtin { name: "okta", text: include_str!("../../../rules/mappings/okta.yaml") },
];

/// The shipped mappings, by name.
pub fn builtin() -> &'static [Builtin] {
    ALL
}

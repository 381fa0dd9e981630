//! Whether a text in a mapping file is a value of a field of ours.
//!
//! Guarantees: what it lets pass is what the decoder lets pass, but for texts of any form, amounts and limits of
//! length. Reads nothing.

use super::parts::For;
use super::target::Target;
use crate::event::key::Key;
use crate::event::{Country, Currency, Field, FieldKind, Millis};

/// Why a text is no value of a field.
pub(super) enum Unfit {
    /// It is none of these words.
    Word(&'static [&'static str]),
    /// Something else is expected.
    Value(&'static str),
}

/// Whether a wrong constant of this field would be found: it takes few values, or ones of a certain form.
pub(super) fn is_checked(target: Target) -> bool {
    match target {
        Target::Top(Key::Currency) => true,
        Target::Place(_) => !matches!(Field::parse(target.name()).map(Field::kind), Some(FieldKind::Text)),
        _ => !matches!(Field::parse(target.name()).map(Field::kind), None | Some(FieldKind::Text | FieldKind::Id(_))),
    }
}

/// Whether a text is a value of a field.
pub(super) fn check(of: For, text: &str) -> Result<(), Unfit> {
    let name = of.target.name();
    let is = |fits: bool, expected| if fits { Ok(()) } else { Err(Unfit::Value(expected)) };
    let Some(field) = Field::parse(name) else {
        return match name {
            "currency" => is(Currency::parse(text).is_some(), "an ISO 4217 code such as CNY"),
            "geo.latitude" | "geo.longitude" => {
                is(text.parse::<f64>().is_ok_and(|n| n.is_finite()), "a number of degrees")
            }
            _ => Ok(()),
        };
    };
    match field.kind() {
        FieldKind::Word => {
            let words = of.kind.map_or(field.words(), |kind| field.words_on(kind));
            if words.contains(&text) { Ok(()) } else { Err(Unfit::Word(words)) }
        }
        FieldKind::Bool => is(matches!(text, "true" | "false"), "true or false"),
        FieldKind::Int => is(text.parse::<u32>().is_ok_and(|n| n >= 1), "a whole number of 1 or more"),
        FieldKind::Float => is(text.parse::<f64>().is_ok_and(|n| n.is_finite()), "a number"),
        FieldKind::Ip => is(text.parse::<std::net::IpAddr>().is_ok(), "an IPv4 or IPv6 address"),
        FieldKind::Country => is(Country::parse(text).is_some(), "a code of two letters"),
        FieldKind::Asn => is(text.trim_start_matches("AS").parse::<u32>().is_ok(), "a number such as AS64500"),
        FieldKind::Time => is(Millis::parse(text).is_some(), "a time such as 2026-11-22T03:04:05Z"),
        FieldKind::Money | FieldKind::Geo | FieldKind::Text | FieldKind::Id(_) => Ok(()),
    }
}

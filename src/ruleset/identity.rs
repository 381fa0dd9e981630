//! What a feature is, whatever it is called and wherever it stands: the hash under which its state is kept.
//!
//! Guarantees: equal definitions have equal hashes, in whatever words, order or file they are written; a
//! definition that keeps something else has another. The spelling that is hashed is never changed: state would
//! start anew.

use super::expr::{Node as Expr, Typed};
use super::feature::{FINDING, FeatureSpec, Kind};
use super::model::{Key, Measure, Name, NamedAmount};
use crate::event::{Closed, EventType};

impl FeatureSpec {
    /// The hash of what it keeps: the same definition under another name or in another file has the same.
    /// Named amounts count by their values; lists by their name, for their entries come and go.
    pub fn identity(&self, filter: Option<&Typed>, amounts: &[NamedAmount]) -> u64 {
        let types: Vec<&str> = self.types.iter().map(EventType::word).collect();
        let measure = match self.measure {
            Some(Measure::Field(field)) => field.name(),
            Some(Measure::Hour) => "hour",
            Some(Measure::Weekday) => "weekday",
            Some(Measure::Finding(field)) => field.name(),
            None => "",
        };
        let definition = format!(
            "{}|{}|{measure}|{}|{}|{}|{}",
            self.kind.map_or("", Kind::word),
            if self.of_findings { FINDING.to_owned() } else { types.join(",") },
            filter.map_or_else(String::new, |filter| canonical(filter, amounts, &|_| None)),
            self.by.map_or_else(String::new, Key::text),
            self.over_ms,
            self.include_current,
        );
        let hash = blake3::hash(definition.as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}

/// An expression in one spelling: names by what they stand for, or as `named` calls them, without comments and
/// blanks.
pub(super) fn canonical(typed: &Typed, amounts: &[NamedAmount], named: &dyn Fn(Name) -> Option<String>) -> String {
    let parts = || typed.parts().into_iter().map(|part| canonical(part, amounts, named)).collect::<Vec<_>>().join(" ");
    match &typed.node {
        Expr::Constant(value) => format!("{value:?}"),
        Expr::Name(Name::Amount(at)) => {
            format!("{:?}", amounts.get(usize::from(*at)).map(|amount| amount.values.as_slice()).unwrap_or_default())
        }
        Expr::Name(name) => named(*name).unwrap_or_else(|| format!("{name:?}")),
        Expr::Not(_) => format!("(not {})", parts()),
        Expr::And(_) => format!("(and {})", parts()),
        Expr::Or(_) => format!("(or {})", parts()),
        Expr::Compare(how, ..) => format!("({} {})", how.symbol(), parts()),
        Expr::InList(_, list) => format!("(in {} lists.{})", parts(), list.name),
        Expr::InSet(_, set) => format!("(in {} {set:?})", parts()),
        Expr::IsMissing(_) => format!("(missing {})", parts()),
        Expr::Coalesce(..) => format!("(?? {})", parts()),
        Expr::Arithmetic(how, ..) => format!("({how:?} {})", parts()),
        Expr::Negate(_) => format!("(- {})", parts()),
        Expr::Call(function, _) => format!("({function:?} {})", parts()),
        Expr::Matches(_, pattern) => format!("(matches {} {:?})", parts(), pattern.as_str()),
    }
}

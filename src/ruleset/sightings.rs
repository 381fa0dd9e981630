//! Sightings: what a rule that compares two places tells of both, so that whoever reads its finding can judge it.
//!
//! Guarantees: for each place a condition gives to `distance_km` or `speed_kmh` its time, coordinates, accuracy,
//! country, city, network, address and device are told, and so is what those functions gave. Decides nothing:
//! the condition reads none of it.

use super::expr::{self, Function, Node, Quantity, Ty, Typed};
use super::hash::HashKey;
use super::model::{Name, Part, Sightings};
use super::names::Names;
use super::row::Layout;
use crate::event::Field;

/// What is told of a sighting, in the order of the schema.
const FIELDS: [Field; 8] = [
    Field::Time,
    Field::Ip,
    Field::Device,
    Field::Geo,
    Field::GeoCountry,
    Field::GeoCity,
    Field::GeoAccuracyKm,
    Field::GeoNetwork,
];

/// The sightings that a condition compares; what is told of kept ones gets its cells in `layout`.
pub(super) fn sightings(typed: &Typed, names: &Names, layout: &mut Layout, key: HashKey) -> Sightings {
    let mut calls = Vec::new();
    collect_calls(typed, &mut calls);
    let mut sightings = Sightings::default();
    for (function, call) in &calls {
        let travel = (named(*function, call, &calls), expr::compile_quantity(call, layout, key));
        sightings.travel.push(travel);
        for (name, _) in call.names() {
            match name {
                Name::Field(Field::Geo) => sightings.own = FIELDS.to_vec(),
                Name::Feature(at, Part::Field(Field::Geo)) => keep(at, names, layout, &mut sightings),
                _ => {}
            }
        }
    }
    sightings
}

/// Every call of `distance_km` and `speed_kmh`, each text once, in the order of the text.
fn collect_calls<'t>(typed: &'t Typed, calls: &mut Vec<(Function, &'t Typed)>) {
    if let Node::Call(function @ (Function::DistanceKm | Function::SpeedKmh), _) = &typed.node
        && !calls.iter().any(|(_, other)| other.text() == typed.text())
    {
        calls.push((*function, typed));
    }
    for part in typed.parts() {
        collect_calls(part, calls);
    }
}

/// The function's name; where a condition calls it with one place and another, the call as it was written.
fn named(function: Function, call: &Typed, calls: &[(Function, &Typed)]) -> String {
    if calls.iter().filter(|(other, _)| *other == function).count() > 1 {
        return call.text().split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if function == Function::DistanceKm { "distance_km" } else { "speed_kmh" }.to_owned()
}

/// Adds a sighting that a feature keeps.
fn keep(feature: u16, names: &Names, layout: &mut Layout, sightings: &mut Sightings) {
    for field in FIELDS {
        let name = Name::Feature(feature, Part::Field(field));
        let Some(written) = names.written(name) else { continue };
        if sightings.kept.iter().all(|(other, ..)| *other != written) {
            let ty = Ty::of(field);
            sightings.kept.push((written, ty, layout.cell(name, ty)));
        }
    }
}

impl Quantity {
    /// To a tenth: finer than any address is known.
    pub fn tenths(&self, row: &super::row::Row<'_>) -> f64 {
        (self.value(row) * 10.0).round() / 10.0
    }
}

//! From a field of the event to its slots in a row.
//!
//! Guarantees: the slots hold what [`Field::value`] says, in the layout's form; a missing field leaves its
//! slots alone. Hashes each id once.

use std::borrow::Cow;

use super::{Banks, Ids};
use crate::event::{Closed, Event, Field};
use crate::ruleset::KeyField;
use crate::ruleset::row::Cell;

/// Writes one field of an event.
pub fn fill(field: Field, event: &Event<'_>, ids: &mut Ids, cell: Cell, banks: &mut Banks) {
    fn word<C: Closed>(value: Option<C>, cell: Cell, banks: &mut Banks) {
        if let Some(value) = value {
            banks.number(cell, f64::from(value.index()));
        }
    }
    fn number(value: Option<f64>, cell: Cell, banks: &mut Banks) {
        if let Some(value) = value {
            banks.number(cell, value);
        }
    }
    let mut id = |kind: KeyField, value: &Option<Cow<'_, str>>, banks: &mut Banks| {
        if let Some(value) = value {
            banks.text(cell, ids.of(kind, event), value);
        }
    };
    match field {
        Field::Account => id(KeyField::Account, &event.account, banks),
        Field::LoginName => id(KeyField::LoginName, &event.login_name, banks),
        Field::Device => id(KeyField::Device, &event.device, banks),
        Field::Session => id(KeyField::Session, &event.session, banks),
        Field::Client => id(KeyField::Client, &event.client, banks),
        Field::Payee => id(KeyField::Payee, &event.payee, banks),
        Field::Merchant => id(KeyField::Merchant, &event.merchant, banks),
        Field::AppVersion => id(KeyField::AppVersion, &event.app_version, banks),
        Field::Id => banks.text(cell, ids.event(event), &event.id),
        Field::UserAgent => text(&event.user_agent, ids, cell, banks),
        Field::GeoCity => text(&event.geo.city, ids, cell, banks),
        Field::Platform => text(&event.platform, ids, cell, banks),
        Field::Locale => text(&event.locale, ids, cell, banks),
        Field::Zone => text(&event.zone, ids, cell, banks),
        Field::MerchantCategory => text(&event.merchant_category, ids, cell, banks),
        Field::About => text(&event.about, ids, cell, banks),
        Field::Type => banks.number(cell, f64::from(event.kind.index())),
        Field::Time => banks.number(cell, event.time.0 as f64),
        Field::Count => banks.number(cell, f64::from(event.count)),
        Field::Ip => event.ip.into_iter().for_each(|ip| banks.ip(cell, ip)),
        Field::Geo => event.geo.point.into_iter().for_each(|point| banks.point(cell, point)),
        Field::GeoCountry => number(event.geo.country.map(|c| f64::from(c.number())), cell, banks),
        Field::GeoAccuracyKm => number(event.geo.accuracy_km, cell, banks),
        Field::GeoAsn => number(event.geo.asn.map(f64::from), cell, banks),
        Field::PayeeCountry => number(event.payee_country.map(|c| f64::from(c.number())), cell, banks),
        Field::Mfa => number(event.mfa.map(|v| f64::from(u8::from(v))), cell, banks),
        Field::Until => number(event.until.map(|t| t.0 as f64), cell, banks),
        Field::Amount => event.amount.into_iter().for_each(|money| banks.money(cell, money)),
        Field::Balance => event.balance.into_iter().for_each(|money| banks.money(cell, money)),
        Field::Channel => word(event.channel, cell, banks),
        Field::GeoNetwork => word(event.geo.network, cell, banks),
        Field::SourceRisk => word(event.source_risk, cell, banks),
        Field::Connection => word(event.connection, cell, banks),
        Field::Result => word(event.result, cell, banks),
        Field::Reason => word(event.reason, cell, banks),
        Field::ReasonClass => word(event.reason.map(crate::event::Reason::class), cell, banks),
        Field::Method => word(event.method, cell, banks),
        Field::By => word(event.by, cell, banks),
        Field::Stage => word(event.stage, cell, banks),
        Field::Via => word(event.via, cell, banks),
        Field::Change => word(event.change, cell, banks),
        Field::Field => word(event.field, cell, banks),
        Field::Status => word(event.status, cell, banks),
        Field::Answer => word(event.answer, cell, banks),
        Field::State => word(event.state, cell, banks),
        Field::Scope => word(event.scope, cell, banks),
    }
}

fn text(value: &Option<Cow<'_, str>>, ids: &Ids, cell: Cell, banks: &mut Banks) {
    if let Some(value) = value {
        banks.text(cell, ids.key().text(value), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Channel, Country, Currency, EventType, Millis, Money, Network, Outcome, Point, Reason};
    use crate::ruleset::expr::Ty;
    use crate::ruleset::row::Layout;
    use crate::ruleset::{HashKey, Name};

    #[test]
    fn every_field_is_read_back_from_its_slots() {
        let cny = |minor| Some(Money { minor, currency: Currency::parse("CNY").unwrap() });
        let mut full = Event::new("e1", EventType::Login, Millis(1_700_000_000_123));
        full.count = 3;
        full.account = Some("acc-1".into());
        full.device = Some("a device whose name is longer than a small string may be".into());
        full.ip = Some("2001:db8::7".parse().unwrap());
        full.geo.country = Country::parse("CN");
        full.geo.city = Some("Shanghai".into());
        full.geo.point = Some(Point { latitude: 31.25, longitude: 121.5 });
        full.geo.network = Some(Network::CarrierNat);
        full.geo.asn = Some(9808);
        full.channel = Some(Channel::Web);
        full.result = Some(Outcome::Failure);
        full.reason = Some(Reason::MfaFailed);
        full.mfa = Some(true);
        full.amount = cny(123_456);
        let empty = Event::new("e2", EventType::Transfer, Millis(5));
        let mut layout = Layout::default();
        let cells: Vec<_> = Field::all().map(|f| (f, Ty::of(f), layout.cell(Name::Field(f), Ty::of(f)))).collect();
        let mut banks = Banks::new(&layout);
        let mut ids = Ids::new(HashKey::new([1; 16]));
        for event in [&full, &empty] {
            banks.clear();
            ids.clear();
            for (field, _, cell) in &cells {
                fill(*field, event, &mut ids, *cell, &mut banks);
            }
            for (field, ty, cell) in &cells {
                let read = banks.row(event).value(*ty, *cell);
                assert_eq!(read, field.value(event), "{}", field.name());
            }
        }
    }
}

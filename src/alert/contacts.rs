//! The contacts at hand: the newest per account, by the event time they were seen at.
//!
//! Guarantees: an older contact never replaces a newer one, in whatever order they come; a newer one takes
//! nothing away that it does not know. Personal: nothing of it is logged. Does not decide who is told.

use rusqlite::{OptionalExtension, Transaction, params};

use super::BOTH_ADDRESSES_MS;
use super::error::DeskError;
use crate::detect::document::{ContactDocument, Previous};
use crate::event::Millis;

/// Keeps a contact; `false` where the one at hand is newer. An equal time replaces: the later record of a
/// compacted topic is the one in force.
///
/// A part that the newer one does not know stays as it was: events never un-say a contact, and detection that
/// starts anew knows only what it has seen since. Only an address that was replaced, or a tombstone
/// ([`forget`]), takes a part away.
pub(super) fn keep(tx: &Transaction<'_>, newer: &ContactDocument, as_of: Millis) -> Result<bool, DeskError> {
    let merged = match at_hand(tx, &newer.account)? {
        Some((held, _)) if held > as_of => return Ok(false),
        Some((_, known)) => merge(known, newer),
        None => newer.clone(),
    };
    tx.prepare_cached("INSERT OR REPLACE INTO contacts VALUES (?1, ?2, ?3)")?.execute(params![
        merged.account,
        as_of.0,
        serde_json::to_vec(&merged)?
    ])?;
    Ok(true)
}

/// What is known of an account once a newer document has come.
pub(super) fn merge(known: ContactDocument, newer: &ContactDocument) -> ContactDocument {
    let newer = newer.clone();
    let merged = |known, said| merge_address(known, said, &newer.as_of);
    let (email, previous_email) = merged((known.email, known.previous_email), (newer.email, newer.previous_email));
    let (phone, previous_phone) = merged((known.phone, known.previous_phone), (newer.phone, newer.previous_phone));
    ContactDocument {
        email,
        phone,
        locale: newer.locale.or(known.locale),
        zone: newer.zone.or(known.zone),
        anti_phishing: newer.anti_phishing.or(known.anti_phishing),
        previous_email,
        previous_phone,
        schema: newer.schema,
        account: newer.account,
        as_of: newer.as_of,
    }
}

/// An address and the one before it.
type Address = (Option<String>, Option<Previous>);

/// A change that the newer document does not speak of happened when it was seen.
fn merge_address(known: Address, newer: Address, as_of: &str) -> Address {
    let (held, held_before) = known;
    let (said, said_before) = newer;
    let replaced = said_before.as_ref().map(|previous| previous.value.as_str());
    let now = said.or_else(|| held.clone().filter(|held| Some(held.as_str()) != replaced));
    let unsaid = held
        .filter(|held| said_before.is_none() && now.as_ref() != Some(held))
        .map(|value| Previous { value, until: as_of.to_owned() });
    (now, said_before.or(unsaid).or(held_before))
}

/// The contact with the addresses that were in force before the last change, where that is less than
/// [`BOTH_ADDRESSES_MS`] before `time`; an address that did not change stands as it is.
pub(super) fn before_change(contact: &ContactDocument, time: Millis) -> Option<ContactDocument> {
    let lately = |previous: &Option<Previous>| {
        let Previous { value, until } = previous.as_ref()?;
        (time.since(parse_time(until)?) < BOTH_ADDRESSES_MS).then(|| value.clone())
    };
    let (email, phone) = (lately(&contact.previous_email), lately(&contact.previous_phone));
    if email.is_none() && phone.is_none() {
        return None;
    }
    let contact = contact.clone();
    Some(ContactDocument { email: email.or(contact.email), phone: phone.or(contact.phone), ..contact })
}

/// Drops an account's contact.
pub(super) fn forget(tx: &Transaction<'_>, account: &str) -> Result<(), DeskError> {
    tx.prepare_cached("DELETE FROM contacts WHERE account = ?1")?.execute([account])?;
    Ok(())
}

/// The contact at hand and its time.
pub(super) fn at_hand(tx: &Transaction<'_>, account: &str) -> Result<Option<(Millis, ContactDocument)>, DeskError> {
    let row: Option<(i64, Vec<u8>)> = tx
        .prepare_cached("SELECT as_of_ms, document FROM contacts WHERE account = ?1")?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // It was read once before it was kept: a document that no longer reads is no contact.
    Ok(row.and_then(|(as_of, bytes)| serde_json::from_slice(&bytes).ok().map(|c| (Millis(as_of), c))))
}

/// RFC 3339 text as it stands in documents.
pub(super) fn parse_time(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(|t| Millis(t.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "a@x.test";
    const B: &str = "b@x.test";

    fn seen(as_of: &str, email: Option<&str>) -> ContactDocument {
        ContactDocument {
            account: "acc".to_owned(),
            as_of: format!("2026-01-{as_of}T00:00:00.000Z"),
            email: email.map(str::to_owned),
            ..ContactDocument::default()
        }
    }

    fn previous(value: &str, day: &str) -> Option<Previous> {
        Some(Previous { value: value.to_owned(), until: format!("2026-01-{day}T00:00:00.000Z") })
    }

    #[test]
    fn what_a_newer_document_does_not_know_stays() {
        let known = ContactDocument {
            phone: Some("+8613800138000".to_owned()),
            locale: Some("zh-CN".to_owned()),
            zone: Some("Asia/Shanghai".to_owned()),
            anti_phishing: Some("blue heron".to_owned()),
            previous_email: previous("first@x.test", "01"),
            previous_phone: previous("+8613900139000", "01"),
            ..seen("02", Some(A))
        };
        let after = merge(known.clone(), &seen("03", Some(A)));
        assert_eq!(after, ContactDocument { as_of: seen("03", None).as_of, ..known.clone() });
        assert_eq!(merge(known, &seen("03", None)), after, "nor is an address un-said");
    }

    #[test]
    fn a_change_that_only_the_desk_can_see_names_the_address_before() {
        let known = ContactDocument { previous_email: previous("first@x.test", "01"), ..seen("02", Some(A)) };
        let after = merge(known.clone(), &seen("03", Some(B)));
        assert_eq!((after.email.as_deref(), after.previous_email.clone()), (Some(B), previous(A, "03")));
        let same = merge(after, &seen("04", Some(B)));
        assert_eq!(same.previous_email, previous(A, "03"), "seen again is no change");
        let said = ContactDocument { previous_email: previous(A, "02"), ..seen("03", Some(B)) };
        assert_eq!(merge(known, &said).previous_email, previous(A, "02"), "what detection says goes first");
    }

    #[test]
    fn a_replaced_address_is_no_longer_the_accounts() {
        let said = ContactDocument { previous_email: previous(A, "03"), ..seen("03", None) };
        let after = merge(seen("02", Some(A)), &said);
        assert_eq!((after.email, after.previous_email), (None, previous(A, "03")));
    }

    #[test]
    fn before_a_change_holds_for_48_hours() {
        let contact = ContactDocument {
            phone: Some("+8613800138000".to_owned()),
            previous_email: previous(A, "03"),
            ..seen("03", Some(B))
        };
        let at = |text: &str| before_change(&contact, parse_time(text).expect("a time"));
        let then = at("2026-01-04T23:59:59.999Z").expect("both");
        assert_eq!((then.email.as_deref(), then.phone), (Some(A), contact.phone.clone()));
        assert_eq!(at("2026-01-05T00:00:00Z"), None);
        assert_eq!(before_change(&seen("03", Some(B)), Millis(0)), None, "nothing changed");
    }
}

//! Entities as files name them: what state is kept for, `account`, `ip` or `[account, device]`.
//!
//! Guarantees: an entity that the events in question cannot have is told. Does not keep state.

use super::codes;
use super::feature::type_words;
use super::model::{Key, KeyField};
use crate::event::{Field, TypeSet};
use crate::yaml::{Node, Reader};

/// The entities, by their names in files.
const ENTITIES: &[(&str, KeyField)] = &[
    ("account", KeyField::Account),
    ("login_name", KeyField::LoginName),
    ("ip", KeyField::Ip),
    ("subnet", KeyField::Subnet),
    ("subnet_56", KeyField::Subnet56),
    ("subnet_48", KeyField::Subnet48),
    ("asn", KeyField::Asn),
    ("country", KeyField::Country),
    ("device", KeyField::Device),
    ("session", KeyField::Session),
    ("payee", KeyField::Payee),
    ("merchant", KeyField::Merchant),
    ("client", KeyField::Client),
    ("app_version", KeyField::AppVersion),
    ("all", KeyField::All),
];

impl KeyField {
    /// Every kind of entity.
    pub fn all() -> impl Iterator<Item = KeyField> {
        ENTITIES.iter().map(|(_, entity)| *entity)
    }

    /// The field of the event it is taken from; `None` for `all`.
    pub fn field(self) -> Option<Field> {
        Some(match self {
            KeyField::Account => Field::Account,
            KeyField::LoginName => Field::LoginName,
            KeyField::Ip | KeyField::Subnet | KeyField::Subnet56 | KeyField::Subnet48 => Field::Ip,
            KeyField::Asn => Field::GeoAsn,
            KeyField::Country => Field::GeoCountry,
            KeyField::Device => Field::Device,
            KeyField::Session => Field::Session,
            KeyField::Payee => Field::Payee,
            KeyField::Merchant => Field::Merchant,
            KeyField::Client => Field::Client,
            KeyField::AppVersion => Field::AppVersion,
            KeyField::All => return None,
        })
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        ENTITIES.iter().find(|(_, entity)| *entity == self).map_or("", |(name, _)| name)
    }
}

impl Key {
    /// The fields of the event it is taken from.
    pub fn fields(self) -> impl Iterator<Item = Field> {
        [Some(self.first), self.second].into_iter().flatten().filter_map(KeyField::field)
    }

    /// The event types that can have it.
    pub fn types(self) -> TypeSet {
        self.fields().fold(TypeSet::ALL, |types, field| types.and(field.types()))
    }

    /// As files write it.
    pub fn text(self) -> String {
        match self.second {
            Some(second) => format!("[{}, {}]", self.first.name(), second.name()),
            None => self.first.name().to_owned(),
        }
    }
}

/// An entity or a pair of them.
pub(super) fn read_key(reader: &mut Reader<'_>, node: &Node) -> Option<Key> {
    let items = reader.one_or_more(node, "`by`");
    // Each of a pair is read, so that two mistakes are told at once.
    let read: Vec<Option<KeyField>> = items.iter().map(|item| read_field(reader, item)).collect();
    let fields: Vec<KeyField> = read.into_iter().collect::<Option<_>>()?;
    let (first, second) = match fields.as_slice() {
        [first] => (*first, None),
        [first, second] if first != second && ![*first, *second].contains(&KeyField::All) => (*first, Some(*second)),
        [] => return None,
        _ => {
            let message = "`by` is one entity or a pair of two different ones, such as `[account, device]`";
            reader.error(codes::VALUE, node.span.clone(), message);
            return None;
        }
    };
    Some(Key { first, second })
}

fn read_field(reader: &mut Reader<'_>, item: &Node) -> Option<KeyField> {
    let word = reader.scalar(item, "`by`")?;
    if let Some((_, field)) = ENTITIES.iter().find(|(name, _)| *name == word) {
        return Some(*field);
    }
    let known: Vec<&str> = ENTITIES.iter().map(|(name, _)| *name).collect();
    let parts: Vec<&str> = word.split([' ', '+']).filter(|part| !part.is_empty()).collect();
    let message = format!("cannot group by `{word}`");
    if parts.len() == 2 && parts.iter().all(|part| known.contains(part)) {
        let help = format!("a pair is written `[{}]`", parts.join(", "));
        reader.error_help(codes::UNKNOWN_TYPE, item.span.clone(), message, &help);
    } else {
        reader.unknown_word(codes::UNKNOWN_TYPE, item.span.clone(), message, word, known);
    }
    None
}

/// Tells where not all of the events can have the entity.
pub(super) fn check_entity(reader: &mut Reader<'_>, node: &Node, by: Key, types: TypeSet) -> bool {
    let lacking = |field: &Field| !types.within(field.types());
    if let Some(field) = by.fields().find(lacking) {
        let message = format!("{} events have no `{}`", type_words(types.without(field.types())), field.name());
        let fits = |(_, field): &&(&str, KeyField)| types.within(Key { first: *field, second: None }.types());
        let known: Vec<&str> = ENTITIES.iter().filter(fits).map(|(name, _)| *name).collect();
        let help = format!("{} events have: {}", type_words(types), known.join(", "));
        reader.error_help(codes::ENTITY, node.span.clone(), message, &help);
        return false;
    }
    true
}

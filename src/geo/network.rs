//! Kinds of network: which evidence there is for one, and which evidence wins.
//!
//! Strongest first: the file's own `network` (somebody said exactly this); the Anonymous-IP flags, Tor before VPN,
//! residential proxy, public proxy and hosting; a cellular or satellite connection; the traits of a City or
//! Enterprise record; the table of autonomous systems compiled in (`networks.csv`); the kind of line. Stronger
//! evidence wins whatever the order of the files; of equal evidence the file named first wins. The table refines
//! what others say coarsely: *mobile* to carrier NAT, *hosting* to VPN or Tor. A kind is never a verdict.

use std::sync::LazyLock;

use crate::event::{Closed, Network};

/// Why an address is thought to belong to a kind of network, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The kind of its line: cable, dial-up, corporate. Data centres are called corporate too.
    Line,
    /// Its autonomous system is in the table compiled in.
    AsnTable,
    /// A trait of a City or Enterprise record: user type, satellite provider, anycast.
    Traits,
    /// The type of its connection: cellular or satellite.
    Connection,
    /// The flags of an Anonymous-IP record.
    Flags,
    /// The record's own `network`.
    Named,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Evidence::Line => "by its line",
            Evidence::AsnTable => "by its autonomous system",
            Evidence::Traits => "by its traits",
            Evidence::Connection => "by its connection type",
            Evidence::Flags => "by its flags",
            Evidence::Named => "named",
        })
    }
}

/// A kind of network with the evidence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The kind.
    pub network: Network,
    /// Why.
    pub evidence: Evidence,
}

/// The fields of an Anonymous-IP record that make the schema recognisable.
pub const FLAG_FIELDS: [&str; 6] = [
    "is_anonymous",
    "is_anonymous_vpn",
    "is_hosting_provider",
    "is_public_proxy",
    "is_residential_proxy",
    "is_tor_exit_node",
];

/// The flags of an Anonymous-IP record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// Some anonymising network.
    pub anonymous: bool,
    /// A VPN provider.
    pub vpn: bool,
    /// A hosting provider.
    pub hosting: bool,
    /// A public proxy.
    pub public_proxy: bool,
    /// A proxy at somebody's home.
    pub residential_proxy: bool,
    /// A Tor exit.
    pub tor: bool,
}

impl Kind {
    /// The kind a record names itself. A word that is no kind of network says nothing.
    pub fn named(word: Option<&str>) -> Option<Kind> {
        let network = Network::parse(word?)?;
        Some(Kind { network, evidence: Evidence::Named })
    }

    /// The kind of the strongest flag. Anonymous in an unnamed way counts as a VPN, the commonest.
    pub fn flagged(flags: &Flags) -> Option<Kind> {
        let network = match flags {
            Flags { tor: true, .. } => Network::Tor,
            Flags { vpn: true, .. } => Network::Vpn,
            Flags { residential_proxy: true, .. } => Network::ResidentialProxy,
            Flags { public_proxy: true, .. } => Network::PublicProxy,
            Flags { hosting: true, .. } => Network::Hosting,
            Flags { anonymous: true, .. } => Network::Vpn,
            _ => return None,
        };
        Some(Kind { network, evidence: Evidence::Flags })
    }

    /// The kind of a connection, in MaxMind's words. A mobile country code is given to mobile carriers only.
    pub fn connected(connection_type: Option<&str>, mobile_country_code: Option<&str>) -> Option<Kind> {
        let (network, evidence) = match connection_type {
            Some("Cellular") => (Network::Mobile, Evidence::Connection),
            Some("Satellite") => (Network::Satellite, Evidence::Connection),
            _ if mobile_country_code.is_some_and(|code| !code.is_empty()) => (Network::Mobile, Evidence::Connection),
            Some("Corporate") => (Network::Business, Evidence::Line),
            Some("Cable/DSL" | "Dialup") => (Network::Fixed, Evidence::Line),
            _ => return None,
        };
        Some(Kind { network, evidence })
    }

    /// The kind that the traits of a City or Enterprise record tell. No person sits behind an anycast address: it
    /// is a data centre's.
    pub fn of_traits(user_type: Option<&str>, satellite: bool, proxy: bool, anycast: bool) -> Option<Kind> {
        let network = match user_type {
            _ if satellite => Network::Satellite,
            _ if proxy => Network::Vpn,
            Some("consumer_privacy_network") => Network::Relay,
            Some("hosting" | "content_delivery_network" | "search_engine_spider") => Network::Hosting,
            _ if anycast => Network::Hosting,
            Some("cellular") => Network::Mobile,
            Some("residential" | "dialup") => Network::Fixed,
            Some("business" | "cafe" | "college" | "government" | "library" | "military" | "school" | "traveler") => {
                Network::Business
            }
            _ => return None,
        };
        Some(Kind { network, evidence: Evidence::Traits })
    }

    /// The better founded of two kinds; of equals the first.
    pub fn stronger(first: Option<Kind>, second: Option<Kind>) -> Option<Kind> {
        match (first, second) {
            (Some(a), Some(b)) if b.evidence > a.evidence => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    /// What remains when the autonomous system is known as well.
    pub fn with_asn(kind: Option<Kind>, asn: Option<u32>, ipv6: bool) -> Option<Kind> {
        let table = asn.and_then(|asn| by_asn(asn, ipv6));
        match (kind, table) {
            (Some(coarse), Some(fine)) if coarse.evidence < Evidence::Named && fine.refines(coarse) => table,
            _ => Self::stronger(kind, table),
        }
    }

    /// Whether this kind says more exactly what `coarse` says: MaxMind flags many VPN ranges as hosting only.
    fn refines(self, coarse: Kind) -> bool {
        matches!(
            (coarse.network, self.network),
            (Network::Mobile, Network::CarrierNat) | (Network::Hosting, Network::Vpn | Network::Tor)
        )
    }
}

/// The table compiled in: autonomous systems whose addresses are of one kind.
const TABLE: &str = include_str!("networks.csv");

/// Autonomous systems by number, ascending.
static BY_ASN: LazyLock<Vec<(u32, Network)>> = LazyLock::new(|| {
    let mut rows: Vec<_> = TABLE.lines().filter_map(row).collect();
    rows.sort_unstable_by_key(|&(asn, _)| asn);
    rows
});

fn row(line: &str) -> Option<(u32, Network)> {
    let mut columns = line.split(',');
    Some((columns.next()?.parse().ok()?, Network::parse(columns.next()?)?))
}

/// The kind of network of an autonomous system, where the table has it. Carriers translate IPv4 addresses only.
pub fn by_asn(asn: u32, ipv6: bool) -> Option<Kind> {
    let at = BY_ASN.binary_search_by_key(&asn, |&(number, _)| number).ok()?;
    let network = match BY_ASN.get(at)?.1 {
        Network::CarrierNat if ipv6 => Network::Mobile,
        network => network,
    };
    Some(Kind { network, evidence: Evidence::AsnTable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(network: Network, evidence: Evidence) -> Option<Kind> {
        Some(Kind { network, evidence })
    }

    #[test]
    fn every_row_of_the_table_is_read_and_none_twice() {
        let rows: Vec<&str> = TABLE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).skip(1).collect();
        assert!(rows.len() > 100, "{} rows", rows.len());
        for line in &rows {
            assert!(row(line).is_some(), "cannot read: {line}");
            assert_eq!(line.split(',').count(), 3, "three columns: {line}");
        }
        assert_eq!(BY_ASN.len(), rows.len());
        assert!(BY_ASN.windows(2).all(|w| w[0].0 < w[1].0), "twice in the table");
    }

    #[test]
    fn the_table_knows_starlink_and_calls_no_system_a_relay() {
        assert_eq!(by_asn(14593, false), of(Network::Satellite, Evidence::AsnTable));
        assert_eq!(by_asn(4134, false), None);
        // Relay operators carry other traffic too: only a list of ranges can say relay.
        assert!(BY_ASN.iter().all(|&(_, n)| n != Network::Relay));
    }

    #[test]
    fn a_carrier_translates_ipv4_only() {
        assert_eq!(by_asn(55836, false), of(Network::CarrierNat, Evidence::AsnTable));
        assert_eq!(by_asn(55836, true), of(Network::Mobile, Evidence::AsnTable));
    }

    #[test]
    fn the_strongest_flag_names_the_kind() {
        let all =
            Flags { anonymous: true, vpn: true, hosting: true, public_proxy: true, residential_proxy: true, tor: true };
        let kind = |flags| Kind::flagged(&flags).map(|k| k.network);
        assert_eq!(kind(all), Some(Network::Tor));
        assert_eq!(kind(Flags { tor: false, ..all }), Some(Network::Vpn));
        assert_eq!(kind(Flags { tor: false, vpn: false, ..all }), Some(Network::ResidentialProxy));
        let public = Flags { tor: false, vpn: false, residential_proxy: false, ..all };
        assert_eq!(kind(public), Some(Network::PublicProxy));
        assert_eq!(kind(Flags { public_proxy: false, ..public }), Some(Network::Hosting));
        assert_eq!(kind(Flags { anonymous: true, ..Flags::default() }), Some(Network::Vpn));
        assert_eq!(kind(Flags::default()), None);
    }

    #[test]
    fn connection_types_and_traits_speak_maxminds_words() {
        let connected = |t, m| Kind::connected(t, m).map(|k| k.network);
        assert_eq!(connected(Some("Cellular"), None), Some(Network::Mobile));
        assert_eq!(connected(Some("Satellite"), Some("310")), Some(Network::Satellite));
        assert_eq!(connected(None, Some("460")), Some(Network::Mobile));
        assert_eq!(connected(Some("Something new"), Some("")), None);
        let traits = |u, s, p, a| Kind::of_traits(u, s, p, a).map(|k| k.network);
        assert_eq!(traits(Some("consumer_privacy_network"), false, false, true), Some(Network::Relay));
        assert_eq!(traits(Some("residential"), true, false, false), Some(Network::Satellite));
        assert_eq!(traits(Some("residential"), false, false, true), Some(Network::Hosting));
        assert_eq!(traits(Some("router"), false, false, false), None);
    }

    #[test]
    fn stronger_evidence_wins_and_of_equals_the_first() {
        let table = of(Network::Hosting, Evidence::AsnTable);
        let flags = of(Network::Vpn, Evidence::Flags);
        let named = of(Network::Fixed, Evidence::Named);
        assert_eq!(Kind::stronger(table, flags), flags);
        assert_eq!(Kind::stronger(named, flags), named);
        assert_eq!(Kind::stronger(flags, of(Network::Tor, Evidence::Flags)), flags);
        assert_eq!(Kind::stronger(None, table), table);
    }

    #[test]
    fn a_data_centre_is_not_taken_for_an_office() {
        let corporate = Kind::connected(Some("Corporate"), None);
        assert_eq!(corporate, of(Network::Business, Evidence::Line));
        assert_eq!(Kind::with_asn(corporate, Some(14061), false), of(Network::Hosting, Evidence::AsnTable));
        assert_eq!(Kind::with_asn(corporate, Some(4134), false), corporate);
    }

    #[test]
    fn the_table_tells_vpn_and_tor_from_hosting_but_not_hosting_from_vpn() {
        let hosting = of(Network::Hosting, Evidence::Flags);
        assert_eq!(Kind::with_asn(hosting, Some(39351), false), of(Network::Vpn, Evidence::AsnTable));
        assert_eq!(Kind::with_asn(hosting, Some(60729), false), of(Network::Tor, Evidence::AsnTable));
        let vpn = of(Network::Vpn, Evidence::Flags);
        assert_eq!(Kind::with_asn(vpn, Some(14061), false), vpn);
    }

    #[test]
    fn carrier_nat_refines_mobile_but_not_what_somebody_named() {
        let cellular = of(Network::Mobile, Evidence::Connection);
        let refined = of(Network::CarrierNat, Evidence::AsnTable);
        assert_eq!(Kind::with_asn(cellular, Some(55836), false), refined);
        assert_eq!(Kind::with_asn(cellular, Some(55836), true), cellular);
        assert_eq!(Kind::with_asn(cellular, Some(14061), false), cellular);
        let named = of(Network::Mobile, Evidence::Named);
        assert_eq!(Kind::with_asn(named, Some(55836), false), named);
        assert_eq!(Kind::with_asn(None, None, false), None);
    }
}

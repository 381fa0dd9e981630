//! The countries of ISO 3166-1, and what people write instead.
//!
//! Guarantees: a code that passes here is one that geo databases use. Does not know names of countries.

use crate::event::Country;

/// The alpha-2 codes (2026-01), and `XK`, which databases use for Kosovo.
#[rustfmt::skip]
const CODES: &[&str] = &[
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA", "BB",
    "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY",
    "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX",
    "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK",
    "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS",
    "GT", "GU", "GW", "GY", "HK", "HM", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR",
    "IS", "IT", "JE", "JM", "JO", "JP", "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA",
    "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK",
    "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE",
    "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM",
    "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG",
    "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF",
    "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY",
    "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "XK", "YE", "YT", "ZA", "ZM", "ZW",
];

/// What is often written for a country, and its code. Of two letters nothing can be guessed otherwise.
const OFTEN: &[(&str, &str)] = &[
    ("UK", "GB"),
    ("EL", "GR"),
    ("GBR", "GB"),
    ("USA", "US"),
    ("CHN", "CN"),
    ("HKG", "HK"),
    ("TWN", "TW"),
    ("MAC", "MO"),
    ("JPN", "JP"),
    ("KOR", "KR"),
    ("SGP", "SG"),
    ("IND", "IN"),
    ("RUS", "RU"),
    ("DEU", "DE"),
    ("FRA", "FR"),
    ("NGA", "NG"),
];

/// The country of a code; where there is none, the code that may have been meant.
pub fn parse(code: &str) -> Result<Country, Option<&'static str>> {
    let upper = code.to_ascii_uppercase();
    match (CODES.binary_search(&upper.as_str()), Country::parse(&upper)) {
        (Ok(_), Some(country)) => Ok(country),
        _ => Err(OFTEN.iter().find(|(often, _)| *often == upper).map(|(_, code)| *code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(CODES.windows(2).all(|pair| pair[0] < pair[1]));
        // 249 of ISO 3166-1, and Kosovo.
        assert_eq!(CODES.len(), 250);
    }

    #[test]
    fn the_united_kingdom_is_gb() {
        assert_eq!(parse("UK"), Err(Some("GB")));
        assert_eq!(parse("gb").map(|c| c.code().to_string()), Ok("GB".to_string()));
        assert_eq!(parse("ZZ"), Err(None));
    }
}

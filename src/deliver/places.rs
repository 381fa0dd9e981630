//! Names of countries in the languages of notices.
//!
//! Guarantees: every country of ISO 3166-1 has a name in English and Simplified Chinese (Unicode CLDR); other
//! languages get the English one. Does not translate cities.

use crate::event::Country;

/// Code, English name, Chinese name: tab-separated, sorted by code.
const TABLE: &str = include_str!("countries.tsv");

/// The name of a country; `None` for a code that ISO does not list.
pub fn country_name(country: Country, locale: &str) -> Option<&'static str> {
    let row = TABLE.lines().find(|line| line.starts_with(country.code()))?;
    let mut names = row.split('\t').skip(1);
    if locale.starts_with("zh") { names.nth(1) } else { names.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_code_and_two_names() {
        let rows: Vec<Vec<&str>> =
            TABLE.lines().filter(|l| !l.starts_with('#')).map(|l| l.split('\t').collect()).collect();
        assert_eq!(rows.len(), 249);
        assert!(rows.windows(2).all(|pair| pair[0][0] < pair[1][0]));
        for row in rows {
            assert_eq!(row.len(), 3, "{row:?}");
            let country = Country::parse(row[0]).expect("a code");
            assert_eq!((country_name(country, "en"), country_name(country, "zh-CN")), (Some(row[1]), Some(row[2])));
        }
        assert_eq!(country_name(Country::parse("QQ").expect("letters"), "en"), None);
    }
}

//! How many segments an SMS takes, as 3GPP TS 23.038 and 23.040 count.
//!
//! Guarantees: pure; a character is never split over two segments. Does not shorten.

/// Segments a notice may take.
pub const SEGMENTS_MAX: usize = 2;

/// Units of a message that fits into one segment, and of each segment of a longer one, which loses six bytes to
/// the header that joins them.
const GSM7_UNITS: (usize, usize) = (160, 153);
const UCS2_UNITS: (usize, usize) = (70, 67);

const GSM7_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                          ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// These take two septets: an escape goes before.
const GSM7_EXTENDED: &str = "^{}\\[~]|€\u{c}";

/// How a text travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Seven bits a character.
    Gsm7,
    /// UTF-16.
    Ucs2,
}

impl Encoding {
    /// The word for the gateway.
    pub fn word(self) -> &'static str {
        match self {
            Encoding::Gsm7 => "gsm7",
            Encoding::Ucs2 => "ucs2",
        }
    }
}

/// The encoding a text needs and the segments it takes.
pub fn segments(text: &str) -> (Encoding, usize) {
    let septets = |c: char| match c {
        c if GSM7_BASIC.contains(c) => Some(1),
        c if GSM7_EXTENDED.contains(c) => Some(2),
        _ => None,
    };
    match text.chars().map(septets).collect::<Option<Vec<usize>>>() {
        Some(units) => (Encoding::Gsm7, packed(&units, GSM7_UNITS)),
        None => {
            let units: Vec<usize> = text.chars().map(char::len_utf16).collect();
            (Encoding::Ucs2, packed(&units, UCS2_UNITS))
        }
    }
}

fn packed(units: &[usize], (alone, joined): (usize, usize)) -> usize {
    if units.iter().sum::<usize>() <= alone {
        return 1;
    }
    let mut segments = 1;
    let mut used = 0;
    for unit in units {
        if used + unit > joined {
            segments += 1;
            used = 0;
        }
        used += unit;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_standard() {
        let told = |text: String| {
            let (encoding, segments) = segments(&text);
            (encoding.word(), segments)
        };
        assert_eq!(told("a".repeat(160)), ("gsm7", 1));
        assert_eq!(told("a".repeat(161)), ("gsm7", 2));
        assert_eq!(told("a".repeat(306)), ("gsm7", 2));
        assert_eq!(told("a".repeat(307)), ("gsm7", 3));
        assert_eq!(told("中".repeat(70)), ("ucs2", 1));
        assert_eq!(told("中".repeat(71)), ("ucs2", 2));
        assert_eq!(told("中".repeat(134)), ("ucs2", 2));
        assert_eq!(told("中".repeat(135)), ("ucs2", 3));
        assert_eq!(told(format!("{}中", "a".repeat(70))), ("ucs2", 2), "one character makes all of it UCS-2");
        assert_eq!(told(String::new()), ("gsm7", 1));
    }

    #[test]
    fn pairs_stay_together() {
        // 80 euro signs are 160 septets; 76 fit into a joined segment of 153.
        assert_eq!(segments(&"€".repeat(80)), (Encoding::Gsm7, 1));
        assert_eq!(segments(&"€".repeat(152)), (Encoding::Gsm7, 2));
        assert_eq!(segments(&"€".repeat(153)), (Encoding::Gsm7, 3));
        // 33 emoji fill 66 of 67 units: the last unit stays empty.
        assert_eq!(segments(&"😀".repeat(66)), (Encoding::Ucs2, 2));
        assert_eq!(segments(&"😀".repeat(67)), (Encoding::Ucs2, 3));
    }
}

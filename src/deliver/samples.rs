//! Sample alerts and contacts: what templates are tried on before they are used.
//!
//! Guarantees: every kind of event a notice speaks of, with everything known and with nothing known, with long,
//! foreign and hostile texts. All of it is invented.

use serde_json::{Value, json};

use crate::alert::{CaseNumber, Order};
use crate::detect::document::{AlertDocument, ContactDocument, GeoDocument, Usual, Versions};
use crate::event::Millis;
use crate::ruleset::{Action, Audience, Band};

/// One sample.
#[derive(Debug)]
pub struct Sample {
    /// What is special about it.
    pub name: &'static str,
    /// The alert.
    pub alert: AlertDocument,
    /// The contact.
    pub contact: ContactDocument,
    case: CaseNumber,
}

impl Sample {
    /// As the templates get it.
    pub fn order(&self) -> Order<'_> {
        Order {
            notice: "nt_5a3f0c11d2ef4b9c8d5e77aa0b8a3c52",
            audience: Audience::User,
            alert: &self.alert,
            contact: Some(&self.contact),
            case: self.case,
            created: Millis(1_795_316_941_000),
        }
    }
}

/// Texts of others, from the usual to the hostile.
const TEXTS: &[(&str, &str)] = &[
    ("usual texts", "Lagos"),
    ("long texts", "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch-upon-the-very-long-Sea"),
    ("Chinese texts", "呼和浩特市赛罕区大学东街一百二十三号新城花园小区十四号楼三单元"),
    ("right-to-left texts", "\u{202e}الدار البيضاء\u{202c} عين الشق مرحبا بكم في المدينة"),
    ("emoji", "👩\u{200d}💻🎉🔥👩\u{200d}💻🎉🔥👩\u{200d}💻🎉🔥👩\u{200d}💻🎉🔥👩\u{200d}💻🎉🔥👩\u{200d}💻🎉🔥"),
    ("markup", "<b>\"x\"</b> & {{ 7*7 }} {% raw %}"),
    ("lines", "a\r\nBcc: everybody@evil.example\r\n\r\nb"),
    ("lures", "https://evil.example/login call +44 20 7946 0958"),
];

/// The texts that decide how long a notice gets: every kind of event is tried with them.
const LONG: [&str; 2] = ["long texts", "emoji"];
/// Every how many kinds the other texts are tried: what they do depends little on the kind.
const KINDS_STEP: usize = 7;

/// Every sample.
pub fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    for (number, kind) in kinds().iter().enumerate() {
        samples.push(sample("nothing known", kind, None));
        for (name, text) in TEXTS {
            if LONG.contains(name) || number % KINDS_STEP == 0 {
                samples.push(sample(name, kind, Some(text)));
            }
        }
    }
    samples
}

fn kinds() -> Vec<Value> {
    let mut kinds = vec![
        json!({"type": "login", "result": "success"}),
        json!({"type": "login", "result": "failure", "reason": "wrong_password"}),
        json!({"type": "login", "result": "failure", "reason": "mfa_failed"}),
        json!({"type": "mfa", "result": "denied"}),
        json!({"type": "password_reset", "stage": "completed"}),
    ];
    for kind in ["transfer", "payment", "withdrawal", "top_up"] {
        for status in [Some("requested"), Some("completed"), Some("declined"), None] {
            kinds.push(json!({"type": kind, "status": status}));
        }
    }
    kinds
}

/// One sample: an event of a kind, with `text` wherever somebody else's text can stand.
fn sample(name: &'static str, kind: &Value, text: Option<&str>) -> Sample {
    let mut event: std::collections::BTreeMap<String, Value> = kind
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut contact = ContactDocument { schema: 1, account: "acc-1029".to_owned(), ..ContactDocument::default() };
    let mut geo = GeoDocument::default();
    if let Some(text) = text {
        for field in ["device", "payee", "merchant", "zone"] {
            event.insert(field.to_owned(), text.into());
        }
        event.insert("platform".to_owned(), "android".into());
        if event.contains_key("status") {
            // The largest amount there is, in the currency with the most decimals.
            event.insert("amount".to_owned(), "900719925474.0992".into());
            event.insert("currency".to_owned(), "CLF".into());
        }
        geo.country = Some("GS".to_owned());
        geo.city = Some(text.to_owned());
        contact.anti_phishing = Some(text.to_owned());
        contact.zone = Some("Asia/Kathmandu".to_owned());
    }
    let alert = AlertDocument {
        schema: 1,
        id: "al_sample".to_owned(),
        time: "2026-09-22T23:09:00.000Z".to_owned(),
        account: Some("acc-1029".to_owned()),
        score: 95,
        band: Band::Critical,
        audience: vec![Audience::User],
        action: Action::None,
        notice: String::new(),
        findings: Vec::new(),
        event,
        geo,
        incident: None,
        no_sms_until: None,
        contact_as_of: None,
        usual: Usual::default(),
        versions: Versions::default(),
    };
    Sample { name, alert, contact, case: CaseNumber::sample() }
}

//! Alerts, contacts and a desk for the tests of channels.

use serde_json::{Value, json};
use tempfile::TempDir;
use walletwatch::alert::{CaseNumber, Desk, DeskConfig, Order};
use walletwatch::detect::document::{AlertDocument, ContactDocument, Document};
use walletwatch::event::Millis;
use walletwatch::ruleset::Audience;

/// 2026-11-22T03:09:01Z.
pub const NOW: Millis = Millis(1_795_316_941_000);

pub fn alert(id: &str, account: &str, band: &str) -> Value {
    json!({
        "kind": "alert", "schema": 1, "id": id, "time": "2026-11-22T03:09:00.000Z", "account": account, "score": 95, "band": band,
        "audience": ["security", "user"], "action": "hold_payment", "notice": "unusual-payment",
        "findings": [{"rule": "amount-velocity", "revision": 1, "score": 95, "share": 1.0, "group": "money",
                      "audience": ["user"], "text": "5 transfers in 1 h", "evidence": {"acct_out_1h": 5}}],
        "event": {"id": "e1", "type": "transfer", "status": "completed", "amount": "1250.00", "currency": "CNY",
                  "payee": "acc-88", "device": "dev-77", "platform": "android"},
        "geo": {"country": "NG", "city": "Lagos", "accuracy_km": 50.0, "asn": 37148, "network": "mobile"},
        "incident": null, "no_sms_until": null, "contact_as_of": null,
        "usual": {"countries": ["CN"], "devices": 2, "hours": [8, 23]},
        "versions": {"rules": "b3:9f", "geo": "2026-11-01", "walletwatch": "0.1.0"},
    })
}

pub fn contact(account: &str, locale: &str) -> Value {
    json!({
        "schema": 1, "account": account, "as_of": "2026-01-01T00:00:00Z", "email": format!("{account}@wallet.example"),
        "phone": "+86 138 0013 8000", "locale": locale, "zone": "Asia/Shanghai", "anti_phishing": "蓝色的鹭",
    })
}

/// An alert and a contact as a channel gets them.
pub struct Pair {
    alert: AlertDocument,
    contact: ContactDocument,
}

impl Pair {
    pub fn new(locale: &str) -> Self {
        let Document::Alert(alert) = serde_json::from_value(alert("al_1", "acc-1029", "high")).expect("an alert");
        Pair { alert: *alert, contact: serde_json::from_value(contact("acc-1029", locale)).expect("a contact") }
    }

    pub fn order(&self) -> Order<'_> {
        Order {
            notice: "nt_5a3f0c11d2ef4b9c8d5e77aa0b8a3c52",
            audience: Audience::User,
            alert: &self.alert,
            contact: Some(&self.contact),
            case: CaseNumber::sample(),
            created: NOW,
        }
    }

    pub fn with_phone(mut self, phone: Option<&str>) -> Self {
        self.contact.phone = phone.map(str::to_owned);
        self
    }

    pub fn with_email(mut self, email: Option<&str>) -> Self {
        self.contact.email = email.map(str::to_owned);
        self
    }
}

pub fn desk() -> (Desk, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(DeskConfig::at(folder.path().join("desk.db"))).expect("a desk");
    (desk, folder)
}

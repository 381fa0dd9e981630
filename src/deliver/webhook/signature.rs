//! Signatures as in Standard Webhooks: HMAC-SHA256 over id, time and body.
//!
//! Guarantees: the published vectors; while keys rotate the request is signed with both, so the receiver may
//! change its key at any moment in between. Keys never show themselves. Does not send.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::event::Millis;
use crate::secret::Secret;

const PREFIX: &str = "whsec_";
/// Bytes of a key, as Standard Webhooks says.
const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;
/// Keys in force at once.
const KEYS_MAX: usize = 2;

/// Why keys cannot be used. Says nothing about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// None, or too many.
    #[error("one key is needed, or two while they rotate")]
    Number,
    /// Not base64.
    #[error("a key is `whsec_` and base64")]
    NotBase64,
    /// Too short or too long.
    #[error("a key has 24 to 64 bytes before base64")]
    Length,
}

/// Signs with all keys in force.
#[derive(Clone)]
pub struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Reads the keys, the newest first.
    pub fn new(secrets: &[Secret]) -> Result<Self, KeyRefused> {
        if secrets.is_empty() || secrets.len() > KEYS_MAX {
            return Err(KeyRefused::Number);
        }
        secrets.iter().map(key).collect::<Result<_, _>>().map(Signer)
    }

    /// The value of `webhook-signature`: one `v1,…` per key.
    pub fn sign(&self, id: &str, time: Millis, body: &[u8]) -> String {
        let one = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(id.as_bytes());
            mac.update(format!(".{}.", seconds(time)).as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.0.len())
    }
}

/// The value of `webhook-timestamp`.
pub fn seconds(time: Millis) -> i64 {
    time.0.div_euclid(1000)
}

fn key(secret: &Secret) -> Result<Hmac<Sha256>, KeyRefused> {
    let text = secret.reveal().trim();
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| KeyRefused::NotBase64)?;
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
        return Err(KeyRefused::Length);
    }
    Hmac::new_from_slice(&bytes).map_err(|_| KeyRefused::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signer(keys: &[&str]) -> Result<Signer, KeyRefused> {
        Signer::new(&keys.iter().map(|k| Secret::new(*k)).collect::<Vec<_>>())
    }

    #[test]
    fn the_published_vectors() {
        // The specification's example, and the one in the tests of the reference libraries.
        let first = signer(&[KEY]).expect("a key");
        let signed = first.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", Millis(1_614_265_330_000), br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let second = signer(&["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]).expect("a key");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signed = second.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", Millis(1_649_367_553_999), body);
        assert_eq!(signed, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn two_keys_make_two_signatures_and_each_verifies_for_somebody_else() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let now = crate::clock::now();
        let signed = signer(&[other, KEY]).expect("two keys").sign("nt_1", now, b"{}");
        for key in [KEY, other] {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("webhook-id", "nt_1".parse().expect("a header"));
            headers.insert("webhook-timestamp", seconds(now).to_string().parse().expect("a header"));
            headers.insert("webhook-signature", signed.parse().expect("a header"));
            let receiver = standardwebhooks::Webhook::new(key).expect("a key");
            receiver.verify(b"{}", &headers).expect("verifies");
            assert!(receiver.verify(b"{ }", &headers).is_err());
        }
    }

    #[test]
    fn bad_keys_are_refused_without_being_shown() {
        assert_eq!(signer(&[]).err(), Some(KeyRefused::Number));
        assert_eq!(signer(&[KEY, KEY, KEY]).err(), Some(KeyRefused::Number));
        assert_eq!(signer(&["whsec_not base64"]).err(), Some(KeyRefused::NotBase64));
        assert_eq!(signer(&["whsec_c2hvcnQ="]).err(), Some(KeyRefused::Length));
        assert_eq!(format!("{:?}", signer(&[KEY]).expect("a key")), "Signer(1 keys)");
    }
}

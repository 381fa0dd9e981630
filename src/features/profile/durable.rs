//! A profile as bytes.
//!
//! Guarantees: what is packed is as long as its parts say, or it is refused. Judges nothing.

use smallvec::SmallVec;

use super::Profile;
use crate::event::{Closed, Country, Network};
use crate::features::codec::{DecodeError, Decoder, Durable, Encoder};

/// What a profile has, by bits of one byte.
const HAS_ASN: u8 = 1;
const HAS_COUNTRY: u8 = 2;
const HAS_NETWORK: u8 = 4;
const HAS_ACCURACY: u8 = 8;
const HAS_DEVICE: u8 = 16;
const HAS_CITY: u8 = 32;

fn bit(is_there: bool, bit: u8) -> u8 {
    if is_there { bit } else { 0 }
}

impl Durable for Profile {
    fn encode(&self, to: &mut Encoder) {
        let has_accuracy = self.last_accuracy_km.to_bits() != f32::NAN.to_bits();
        to.byte(
            bit(self.has_asn, HAS_ASN)
                | bit(self.last_country.is_some(), HAS_COUNTRY)
                | bit(self.last_network.is_some(), HAS_NETWORK)
                | bit(has_accuracy, HAS_ACCURACY)
                | bit(self.device_bytes.is_some(), HAS_DEVICE)
                | bit(self.city_bytes.is_some(), HAS_CITY),
        );
        to.signed(self.last_ms);
        if self.has_asn {
            to.number(self.last_asn);
        }
        if let Some(country) = self.last_country {
            to.number(country.number());
        }
        if let Some(network) = self.last_network {
            to.byte(network.index());
        }
        if has_accuracy {
            to.raw(&self.last_accuracy_km.to_bits().to_le_bytes());
        }
        self.device_bytes.into_iter().for_each(|n| to.byte(n));
        self.city_bytes.into_iter().for_each(|n| to.byte(n));
        to.number(self.hours);
        to.byte(self.countries);
        to.byte(self.devices);
        to.raw(&self.packed);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let has = from.byte()?;
        let mut profile = Profile { last_ms: from.signed()?, has_asn: has & HAS_ASN != 0, ..Profile::new() };
        if profile.has_asn {
            profile.last_asn = from.narrow()?;
        }
        if has & HAS_COUNTRY != 0 {
            let number: u16 = from.narrow()?;
            let unknown = DecodeError::Unknown { what: "country", found: number.into() };
            profile.last_country = Some(Country::from_number(number).ok_or(unknown)?);
        }
        if has & HAS_NETWORK != 0 {
            profile.last_network = Some(network(from.byte()?)?);
        }
        if has & HAS_ACCURACY != 0 {
            let bits = from.raw(4)?.first_chunk().copied().ok_or(DecodeError::Short)?;
            profile.last_accuracy_km = f32::from_bits(u32::from_le_bytes(bits));
        }
        profile.device_bytes = if has & HAS_DEVICE != 0 { Some(from.byte()?) } else { None };
        profile.city_bytes = if has & HAS_CITY != 0 { Some(from.byte()?) } else { None };
        profile.hours = from.narrow()?;
        if profile.hours >= 1 << 24 {
            return Err(DecodeError::Wrong("an hour"));
        }
        (profile.countries, profile.devices) = (from.byte()?, from.byte()?);
        let names = [profile.device_bytes, profile.city_bytes].into_iter().flatten().map(usize::from).sum::<usize>();
        profile.packed = SmallVec::from_slice(from.raw(profile.names_at() + names)?);
        Ok(profile)
    }
}

fn network(index: u8) -> Result<Network, DecodeError> {
    let word = Network::WORDS.get(usize::from(index)).and_then(|word| Network::parse(word));
    word.ok_or(DecodeError::Unknown { what: "network", found: index.into() })
}

//! A certificate authority of the tests' own, and certificates for the loopback and for a client signed by it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A CA's certificate and a server's certificate and key, in PEM, as texts and as files.
pub struct Authority {
    /// The server's certificate.
    pub cert_pem: String,
    /// The server's private key, PKCS #8.
    pub key_pem: String,
    /// The CA's certificate.
    pub ca_pem: String,
    /// The CA's certificate as a file.
    pub ca_file: PathBuf,
    /// The server's certificate as a file.
    pub cert_file: PathBuf,
    /// The server's key as a file.
    pub key_file: PathBuf,
    /// A client's certificate as a file.
    pub client_cert_file: PathBuf,
    /// The client's key as a file.
    pub client_key_file: PathBuf,
}

impl Authority {
    /// Makes both and writes them to `folder`. The server's names are `localhost` and `127.0.0.1`.
    pub fn create(folder: &Path) -> Authority {
        let mut ca = CertificateParams::new(Vec::<String>::new()).expect("CA parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "walletwatch test CA");
        let ca_key = KeyPair::generate().expect("a CA key");
        let ca_cert = ca.self_signed(&ca_key).expect("a CA certificate");
        let issuer = Issuer::new(ca, ca_key);
        let server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let key = KeyPair::generate().expect("a key");
        let cert = server.signed_by(&key, &issuer).expect("a certificate");
        let client = CertificateParams::new(vec!["walletwatch".to_owned()]).expect("names");
        let client_key = KeyPair::generate().expect("a key");
        let client_cert = client.signed_by(&client_key, &issuer).expect("a certificate");
        let (ca_pem, cert_pem, key_pem) = (ca_cert.pem(), cert.pem(), key.serialize_pem());
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a PEM file");
            path
        };
        Authority {
            ca_file: write("ca.pem", &ca_pem),
            cert_file: write("server.pem", &cert_pem),
            key_file: write("server.key", &key_pem),
            client_cert_file: write("client.pem", &client_cert.pem()),
            client_key_file: write("client.key", &client_key.serialize_pem()),
            ca_pem,
            cert_pem,
            key_pem,
        }
    }
}

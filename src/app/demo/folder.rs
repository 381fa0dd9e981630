//! The folder of the demo: everything it needs and everything that comes of it, for people to look at.
//!
//! Guarantees: a folder that holds anything but an earlier demo is left alone; an earlier demo's files are
//! replaced; the configuration that runs is one that stands there and can be read. Starts nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::DemoError;
use crate::config::{Config, Environment};

/// The folder's mark: what it is, and that it may be replaced.
const MARK: &str = "README.txt";
const MARK_TEXT: &str = include_str!("README.txt");
/// What an earlier demo left.
const OURS: [&str; 9] =
    ["mails", "sms", "state", "geo", "sms-key", "walletwatch.toml", "walletwatch.log", "alerts.ndjson", "summary.json"];
/// The key that signs requests to the demo's own gateway on the loopback. It protects nothing.
pub const SMS_KEY: &str = "whsec_d2FsbGV0d2F0Y2ggZGVtbzogbm8gc2VjcmV0IQ==";
/// The small world that the generator's people live in.
const GEO: [(&str, &[u8]); 3] = [
    ("world-city.mmdb", include_bytes!("../../../tests/data/geo/world-city.mmdb")),
    ("world-asn.mmdb", include_bytes!("../../../tests/data/geo/world-asn.mmdb")),
    ("world-anonymous.mmdb", include_bytes!("../../../tests/data/geo/world-anonymous.mmdb")),
];

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it, or empties the one of an earlier demo.
    pub fn make(path: &Path) -> Result<Self, DemoError> {
        let folder = Folder { path: path.to_owned() };
        let failed = |source| DemoError::Folder { path: path.to_owned(), source };
        match std::fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() && !folder.is_a_demos() {
                    return Err(DemoError::NotEmpty(path.to_owned()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        folder.clear().and_then(|()| folder.fill()).map_err(failed)?;
        Ok(folder)
    }

    fn is_a_demos(&self) -> bool {
        std::fs::read_to_string(self.file(MARK)).is_ok_and(|text| text == MARK_TEXT)
    }

    fn clear(&self) -> std::io::Result<()> {
        for name in OURS {
            let path = self.file(name);
            let cleared = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match cleared {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn fill(&self) -> std::io::Result<()> {
        for name in ["mails", "sms", "geo"] {
            std::fs::create_dir_all(self.file(name))?;
        }
        std::fs::write(self.file(MARK), MARK_TEXT)?;
        std::fs::write(self.file("sms-key"), format!("{SMS_KEY}\n"))?;
        for (name, bytes) in GEO {
            std::fs::write(self.file("geo").join(name), bytes)?;
        }
        Ok(())
    }

    /// Where a file of it stands.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the configuration for these servers, and reads it as `run` would, but for the environment, which is
    /// about somebody's own service.
    pub fn configure(
        &self,
        brokers: &str,
        mail: SocketAddr,
        sms: SocketAddr,
        http: Option<SocketAddr>,
    ) -> Result<Config, DemoError> {
        let http = http.map(|address| format!("\n[http]\nlisten = \"{address}\"\n")).unwrap_or_default();
        let text = include_str!("walletwatch.toml")
            .replace("{brokers}", brokers)
            .replace("{mail_host}", &mail.ip().to_string())
            .replace("{mail_port}", &mail.port().to_string())
            .replace("{sms}", &sms.to_string())
            + &http;
        let path = self.file("walletwatch.toml");
        std::fs::write(&path, text).map_err(|source| DemoError::Folder { path: path.clone(), source })?;
        let mut config = Config::load(&path, &Environment::default()).map_err(DemoError::Problems)?;
        config.kafka.is_embedded = true;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_demo_is_replaced_and_nothing_else() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("demo");
        let folder = Folder::make(&path).expect("made");
        std::fs::write(folder.file("mails/001.eml"), "old").expect("written");
        Folder::make(&path).expect("made again");
        assert!(!path.join("mails/001.eml").exists());

        let theirs = temporary.path().join("theirs");
        std::fs::create_dir(&theirs).expect("made");
        std::fs::write(theirs.join("summary.json"), "precious").expect("written");
        assert!(matches!(Folder::make(&theirs), Err(DemoError::NotEmpty(_))));
        assert!(theirs.join("summary.json").exists());
    }

    #[test]
    fn the_configuration_can_be_read() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Folder::make(temporary.path()).expect("made");
        let address: SocketAddr = "127.0.0.1:2525".parse().expect("an address");
        let config = folder.configure("127.0.0.1:9092", address, address, Some(address)).expect("a configuration");
        assert_eq!(config.kafka.brokers, ["127.0.0.1:9092"]);
        assert_eq!(config.geo_files.len(), 3);
        assert_eq!(config.http.listen, Some(address));
        assert_eq!(config.state_directory, folder.file("state"));
        assert!(config.channels.email.is_some() && config.channels.sms.is_some());
    }
}

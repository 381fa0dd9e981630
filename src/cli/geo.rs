//! `walletwatch geo lookup|verify`: what is known of an address and from which file, and whether a file is good.
//!
//! Guarantees: every file that cannot be used is told, not only the first. Looks up with the service's own code.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Exit, Format, fail};
use crate::geo::{Database, Databases, Explained, OpenError, Source};

/// Asks and checks geo databases (MMDB files).
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  walletwatch geo verify GeoLite2-City.mmdb
  walletwatch geo lookup 203.0.113.9 --geo GeoLite2-City.mmdb GeoLite2-ASN.mmdb")]
pub enum Command {
    Lookup(Lookup),
    Verify(Verify),
}

/// Prints what is known of addresses, and from which file each part came.
///
/// Ends with 0 when something is known of at least one of them, 1 when nothing is, 65 when a file is not good, 66
/// when one is missing.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "walletwatch geo lookup <IP>... --geo <FILE>... [--format <FORMAT>]",
    after_help = "Example:\n  walletwatch geo lookup 203.0.113.9 2001:db8::1 --geo GeoLite2-City.mmdb GeoLite2-ASN.mmdb"
)]
pub struct Lookup {
    /// IPv4 or IPv6 addresses.
    #[arg(value_name = "IP")]
    ips: Vec<IpAddr>,
    /// MMDB files, in the order in which they are believed.
    #[arg(long = "geo", value_name = "FILE", required = true, num_args = 1..)]
    geo: Vec<PathBuf>,
    /// How to print; JSON is one object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Checks MMDB files whole: format, schema, search tree, every record.
///
/// Ends with 0 when all are good, 1 when one is sound but of a schema that is not read, 65 when one is damaged or
/// another kind of file, 66 when one is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  walletwatch geo verify GeoLite2-City.mmdb")]
pub struct Verify {
    /// MMDB files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How to print; JSON is one object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs one.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Lookup(args) => lookup(args),
        Command::Verify(args) => verify(&args),
    }
}

// === lookup ===

fn lookup(args: Lookup) -> anyhow::Result<Exit> {
    let (ips, files) = addresses_and_files(args.ips, args.geo);
    if ips.is_empty() || files.is_empty() {
        return Err(fail(Exit::Usage, "give at least one address, and at least one file after --geo"));
    }
    let geo = Databases::open(&files).map_err(|errors| unusable(&errors))?;
    let mut out = std::io::stdout().lock();
    let mut known = false;
    for ip in ips {
        let explained = geo.explain(ip);
        known |= explained.place != Default::default();
        match args.format {
            Format::Human => write!(out, "{}", human(ip, &explained, files.len()))?,
            Format::Json => writeln!(out, "{}", Value::Object(object(ip, &explained)))?,
        }
    }
    out.flush()?;
    if let Some((path, _)) = geo.errors().find(|(_, errors)| *errors > 0) {
        return Err(fail(Exit::Data, format!("{}: records could not be read", path.display())));
    }
    Ok(if known { Exit::Done } else { Exit::No })
}

/// `--geo` takes several files, so that an address after it would be taken for one. No file is called like an
/// address.
fn addresses_and_files(mut ips: Vec<IpAddr>, geo: Vec<PathBuf>) -> (Vec<IpAddr>, Vec<PathBuf>) {
    let mut files = Vec::new();
    for path in geo {
        match path.to_str().map(str::parse) {
            Some(Ok(ip)) => ips.push(ip),
            _ => files.push(path),
        }
    }
    (ips, files)
}

/// All files that cannot be used, as one failure.
fn unusable(errors: &[OpenError]) -> anyhow::Error {
    let told: Vec<String> = errors.iter().map(|e| format!("{}\n  help: {}", e.problem(), e.help())).collect();
    let exit = errors.iter().map(exit_of).max_by_key(|exit| *exit as u8).unwrap_or(Exit::Data);
    // For a lookup a file of an unknown schema is bad data, as a damaged one is.
    fail(if exit == Exit::No { Exit::Data } else { exit }, told.join("\n"))
}

fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Missing { .. } => Exit::NoInput,
        OpenError::Unreadable { .. } => Exit::Io,
        OpenError::TooLarge { .. } | OpenError::NotMmdb { .. } | OpenError::Damaged { .. } => Exit::Data,
        OpenError::UnknownSchema { .. } => Exit::No,
    }
}

/// What is known of one address: rows of part, value and source.
fn rows(explained: &Explained<'_>) -> Vec<(&'static str, String, String)> {
    let place = &explained.place;
    let accuracy = place.accuracy_km.map(|km| format!(" within {km} km")).unwrap_or_default();
    let point = place.point.map(|p| format!("{:.4}, {:.4}{accuracy}", p.latitude, p.longitude));
    let mut rows = Vec::new();
    let mut row = |part, value: Option<String>, source: Option<Source<'_>>, note: String| {
        if let (Some(value), Some(source)) = (value, source) {
            rows.push((part, value, format!("{}{note}", name(source))));
        }
    };
    row("country", place.country.map(|c| c.code().to_owned()), explained.country, String::new());
    row("city", place.city.as_deref().map(str::to_owned), explained.city, String::new());
    row("coordinates", point, explained.point, String::new());
    row("asn", place.asn.map(|asn| format!("AS{asn}")), explained.asn, String::new());
    let (source, why) = explained.network.unzip();
    let note = why.map(|why| format!(", {why}")).unwrap_or_default();
    row("network", place.network.map(|n| n.to_string()), source, note);
    rows
}

fn human(ip: IpAddr, explained: &Explained<'_>, files: usize) -> String {
    let rows = rows(explained);
    let mut text = format!("{ip}\n");
    if rows.is_empty() {
        let files = if files == 1 { "the file knows".to_owned() } else { format!("{files} files know") };
        text.push_str(&format!("  {files} nothing of it\n"));
    }
    let width = rows.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    for (part, value, source) in rows {
        text.push_str(&format!("  {part:<11}  {value:<width$}  {source}\n"));
    }
    text
}

fn object(ip: IpAddr, explained: &Explained<'_>) -> Map<String, Value> {
    let place = &explained.place;
    let from = [
        ("country", explained.country),
        ("city", explained.city),
        ("coordinates", explained.point),
        ("asn", explained.asn),
        ("network", explained.network.map(|(source, _)| source)),
    ];
    let from: Map<String, Value> =
        from.into_iter().filter_map(|(part, source)| Some((part.to_owned(), name(source?).into()))).collect();
    let parts = [
        ("ip", json!(ip)),
        ("country", json!(place.country)),
        ("city", json!(place.city)),
        ("latitude", json!(place.point.map(|p| p.latitude))),
        ("longitude", json!(place.point.map(|p| p.longitude))),
        ("accuracy_km", json!(place.accuracy_km)),
        ("asn", json!(place.asn)),
        ("network", json!(place.network)),
        ("network_evidence", json!(explained.network.map(|(_, evidence)| evidence))),
        ("from", Value::Object(from)),
    ];
    parts.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)).collect()
}

fn name(source: Source<'_>) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::AsnTable => "compiled in".to_owned(),
    }
}

// === verify ===

fn verify(args: &Verify) -> anyhow::Result<Exit> {
    let mut out = std::io::stdout().lock();
    let mut worst = Exit::Done;
    for path in &args.files {
        let opened = Database::open(path);
        match (args.format, &opened) {
            (Format::Human, Ok(file)) => write!(out, "{}", good(file))?,
            (Format::Human, Err(error)) => write!(out, "{}\n  help: {}\n", error.problem(), error.help())?,
            (Format::Json, opened) => writeln!(out, "{}", verdict(path, opened))?,
        }
        if let Err(error) = &opened {
            worst = if exit_of(error) as u8 > worst as u8 { exit_of(error) } else { worst };
        }
    }
    out.flush()?;
    Ok(worst)
}

fn good(file: &Database) -> String {
    let census = file.census();
    let rows = [
        ("schema", format!("{}, calls itself \"{}\"", file.schema(), file.database_type())),
        ("made", file.date().unwrap_or_else(|| format!("{} s after 1970", file.build_epoch()))),
        ("size", format!("{} bytes", file.bytes())),
        ("ranges", format!("{} of IPv4, {} of IPv6", census.ranges_ipv4, census.ranges_ipv6)),
        ("records", format!("{}, {} of them empty", census.records, census.records_empty)),
        ("country", format!("in {} records", census.countries)),
        ("city", format!("in {}", census.cities)),
        ("coordinates", format!("in {}", census.points)),
        ("asn", format!("in {}", census.asns)),
        ("network", format!("in {}", census.kinds)),
        ("digest", format!("b3:{}", file.digest())),
    ];
    let mut text = format!("{}: good\n", file.path().display());
    for (what, value) in rows {
        text.push_str(&format!("  {what:<11}  {value}\n"));
    }
    text
}

fn verdict(path: &Path, opened: &Result<Database, OpenError>) -> Value {
    match opened {
        Ok(file) => json!({
            "file": path.display().to_string(),
            "good": true,
            "schema": file.schema(),
            "database_type": file.database_type(),
            "made": file.date(),
            "build_epoch": file.build_epoch(),
            "ip_version": file.ip_version(),
            "bytes": file.bytes(),
            "census": file.census(),
            "digest": format!("b3:{}", file.digest()),
        }),
        Err(error) => json!({
            "file": path.display().to_string(),
            "good": false,
            "code": error.code(),
            "problem": error.to_string(),
            "help": error.help(),
        }),
    }
}

//! Which addresses may be connected to, and which URLs may be configured.
//!
//! Guarantees: a private, link-local, metadata, multicast or reserved address is refused, written as itself or
//! inside IPv6, unless a configured network holds it; loopback only where the URL itself says loopback.
//! Does not resolve names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::Url;

/// IANA's special-purpose registries (2026-01), and multicast.
#[rustfmt::skip]
const SPECIAL_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8), (Ipv4Addr::new(10, 0, 0, 0), 8), (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8), (Ipv4Addr::new(169, 254, 0, 0), 16), (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24), (Ipv4Addr::new(192, 0, 2, 0), 24), (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16), (Ipv4Addr::new(198, 18, 0, 0), 15), (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24), (Ipv4Addr::new(224, 0, 0, 0), 4), (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// What is special inside 2000::/3; everything outside of it is.
const SPECIAL_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// IPv4 behind a translator (RFC 6052): judged as the address it leads to.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// What may be connected to.
#[derive(Debug, Clone)]
pub struct Reach {
    allowed: Vec<IpNet>,
    loopback: bool,
}

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Not a URL.
    #[error("it is not a URL")]
    NotAUrl,
    /// Neither https nor http on loopback.
    #[error("it is not https (http is for loopback only)")]
    NotHttps,
    /// It carries a user or a password.
    #[error("it holds a user name or password")]
    Credentials,
    /// It has no host.
    #[error("it has no host")]
    NoHost,
    /// Its port is 0.
    #[error("nothing listens on port 0")]
    NoPort,
    /// It has a part after `#`, which is never sent.
    #[error("it has a part after `#`, which is never sent")]
    Fragment,
    /// Its address may not be connected to.
    #[error("{0} is a private or reserved address")]
    Address(IpAddr),
}

impl UrlRefused {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            UrlRefused::NotAUrl | UrlRefused::NoHost | UrlRefused::NoPort => {
                "write a whole address, such as \"https://hooks.example/walletwatch\""
            }
            UrlRefused::NotHttps => "write `https://`",
            UrlRefused::Credentials => {
                "write the `authorization` header into a file and name it in `authorization_file`"
            }
            UrlRefused::Fragment => "leave out `#` and what follows",
            UrlRefused::Address(_) => "if it is meant, add its network to `allowed_networks`, such as \"10.20.0.0/16\"",
        }
    }
}

impl Reach {
    /// The public internet and `allowed`; loopback where the URL names it.
    pub fn new(allowed: Vec<IpNet>, url: &Url) -> Self {
        Reach { allowed, loopback: names_loopback(url) }
    }

    /// Whether an address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.allowed.iter().any(|net| net.contains(&address))
    }
}

/// Checks a configured URL. A name in it is checked again each time it is resolved.
pub fn check_url(text: &str, allowed: &[IpNet]) -> Result<Url, UrlRefused> {
    // A URL parser drops tabs, newlines and outer blanks in silence: what people see is not what is used.
    // So does it turn `\` into `/` and skip slashes before the host.
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.chars().any(odd) || text.contains(":///") {
        return Err(UrlRefused::NotAUrl);
    }
    let url = Url::parse(text).map_err(|_| UrlRefused::NotAUrl)?;
    let loopback = names_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(UrlRefused::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRefused::Credentials);
    }
    if url.fragment().is_some() {
        return Err(UrlRefused::Fragment);
    }
    match literal(&url) {
        Some(address) if !Reach::new(allowed.to_vec(), &url).allows(address) => Err(UrlRefused::Address(address)),
        None if url.host_str().is_none_or(str::is_empty) => Err(UrlRefused::NoHost),
        _ if url.port() == Some(0) => Err(UrlRefused::NoPort),
        _ => Ok(url),
    }
}

/// The address a URL holds instead of a name: the client connects to it without asking a resolver.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn names_loopback(url: &Url) -> bool {
    let is_localhost = url.host_str().is_some_and(|h| h == "localhost" || h.ends_with(".localhost"));
    is_localhost || literal(url).is_some_and(|a| a.to_canonical().is_loopback())
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !within_v4(v4, SPECIAL_V4),
        IpAddr::V6(v6) if within_v6(v6, &[NAT64]) => {
            let [.., a, b, c, d] = v6.octets();
            is_public(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(v6) => within_v6(v6, &[GLOBAL_V6]) && !within_v6(v6, SPECIAL_V6),
    }
}

fn within_v4(address: Ipv4Addr, nets: &[(Ipv4Addr, u8)]) -> bool {
    nets.iter().any(|(net, bits)| Ipv4Net::new(*net, *bits).is_ok_and(|n| n.contains(&address)))
}

fn within_v6(address: Ipv6Addr, nets: &[(Ipv6Addr, u8)]) -> bool {
    nets.iter().any(|(net, bits)| Ipv6Net::new(*net, *bits).is_ok_and(|n| n.contains(&address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of each, the public internet only.
    fn told(urls: &[&str]) -> String {
        let verdict = |url: &&str| match check_url(url, &[]) {
            Ok(parsed) => format!("{url:?}: taken as {parsed}"),
            Err(why) => format!("{url:?}: {why}"),
        };
        urls.iter().map(verdict).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn hostile_urls_are_refused() {
        insta::assert_snapshot!(told(&[
            "http://sms.example/send",
            "ftp://sms.example/",
            "file:///etc/passwd",
            "gopher://10.0.0.1/",
            "javascript:alert(1)",
            "//sms.example/",
            "sms.example",
            "",
            "https://",
            "https:///x",
            "https://user@sms.example/",
            "https://u:p@sms.example/",
            "https://sms.example/#x",
            "https://sms.example\\@10.0.0.1/",
            " https://sms.example/",
            "https://sms.ex\nample/",
            "https://127.0.0.2:0/",
            "http://127.0.0.1@evil.example/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.100.100.200/",
            "https://0.0.0.0/",
            "https://0/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0251.0376.0251.0376/",
            "https://10.1/",
            "https://[::]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:a00:1::]/",
            "https://[ff02::1]/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://１６９.254.169.254/",
            "http://sub.localhost.evil.example/",
        ]));
    }

    #[test]
    fn what_is_meant_is_taken() {
        assert!(check_url("https://sms.example/v1/send?key=1", &[]).is_ok());
        assert!(check_url("http://127.0.0.1:8080/", &[]).is_ok(), "loopback needs no TLS");
        assert!(check_url("https://localhost:8443/", &[]).is_ok());
        assert!(check_url("https://[2606:4700::1111]/", &[]).is_ok());
        let lan: IpNet = "10.0.0.0/8".parse().expect("a network");
        assert!(check_url("https://10.1.2.3/", &[lan]).is_ok());
        assert_eq!(check_url("http://10.1.2.3/", &[lan]), Err(UrlRefused::NotHttps));
    }

    #[test]
    fn a_public_name_that_leads_home_is_refused() {
        let reach = |url: &str| Reach::new(Vec::new(), &Url::parse(url).expect("a URL"));
        let home: IpAddr = "127.0.0.1".parse().expect("an address");
        assert!(!reach("https://rebind.example/").allows(home));
        assert!(reach("https://localhost/").allows(home));
        assert!(!reach("https://localhost/").allows("10.0.0.1".parse().expect("an address")));
    }
}

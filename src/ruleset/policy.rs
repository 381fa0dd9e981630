//! The policy: from a score to a band, from a band to the channels that carry it.
//!
//! Guarantees: bands rise; every route names an audience and at least one channel. Absent, the defaults
//! hold. Does not send anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::codes;
use super::declare::check_version;
use super::load::Mention;
use super::model::Audience;
use super::rule::AUDIENCES;
use crate::yaml::{Map, Node, Reader};

/// How much an alert weighs, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words are the documentation")]
pub enum Band {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Band {
    /// The word on the wire, in metrics and in people's files.
    pub fn word(self) -> &'static str {
        match self {
            Band::Info => "info",
            Band::Low => "low",
            Band::Medium => "medium",
            Band::High => "high",
            Band::Critical => "critical",
        }
    }
}

/// The lowest score of each band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the lowest score of the band of its name")]
pub struct Bands {
    pub low: u8,
    pub medium: u8,
    pub high: u8,
    pub critical: u8,
}

impl Default for Bands {
    fn default() -> Self {
        Bands { low: 30, medium: 50, high: 70, critical: 90 }
    }
}

impl Bands {
    /// The band of a score; `None` below the lowest: no alert.
    pub fn of(&self, score: u8) -> Option<Band> {
        match score {
            s if s >= self.critical => Some(Band::Critical),
            s if s >= self.high => Some(Band::High),
            s if s >= self.medium => Some(Band::Medium),
            s if s >= self.low => Some(Band::Low),
            _ => None,
        }
    }
}

/// One route. Routes are tried in order for each audience; the first whose `from` is reached is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// For whom.
    pub audience: Audience,
    /// From which band on.
    pub from: Band,
    /// Channels by name: the next one when one fails for good.
    pub channels: Vec<String>,
    /// All channels at once rather than the next on failure.
    pub all: bool,
}

/// The policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The bands.
    pub bands: Bands,
    /// The routes.
    pub routes: Vec<Route>,
}

impl Default for Policy {
    fn default() -> Self {
        let route = |audience, from, channels: &[&str], all| Route {
            audience,
            from,
            channels: channels.iter().map(|c| (*c).to_owned()).collect(),
            all,
        };
        Policy {
            bands: Bands::default(),
            routes: vec![
                route(Audience::User, Band::Critical, &["email", "sms"], true),
                route(Audience::User, Band::Info, &["email", "sms"], false),
            ],
        }
    }
}

const BANDS: &[(&str, Band)] = &[
    ("info", Band::Info),
    ("low", Band::Low),
    ("medium", Band::Medium),
    ("high", Band::High),
    ("critical", Band::Critical),
];
const KEYS: &[&str] = &["version", "bands", "routes", "tests"];
const LATER_KEYS: &[&str] = &["quiet_hours", "limits"];
/// Routes of a policy, at most.
const ROUTES_MAX: usize = 100;

impl Policy {
    /// The route an alert of this score takes to an audience; `None` where nobody of it is told.
    pub fn route(&self, score: u8, audience: Audience) -> Option<&Route> {
        self.route_of(self.bands.of(score)?, audience)
    }

    /// The route an alert of this band takes to an audience; one of band `info` has no score to go by.
    pub fn route_of(&self, band: Band, audience: Audience) -> Option<&Route> {
        self.routes.iter().find(|route| route.audience == audience && band >= route.from)
    }
}

/// Reads `policy.yaml`; `None` where it is no mapping at all. Problems are told. `named` gets the channels that
/// the routes name.
pub(super) fn read(reader: &mut Reader<'_>, tree: &Node, named: &mut Vec<(Mention, Audience)>) -> Option<Policy> {
    let map = reader.map(tree, "the policy")?;
    reader.keys(map, KEYS, LATER_KEYS);
    reader.require(tree, "the policy", &["version"]);
    if let Some(node) = map.get("version") {
        check_version(reader, node);
    }
    let before = reader.problems.len();
    let mut policy = Policy::default();
    if let Some(node) = map.get("bands") {
        policy.bands = read_bands(reader, node).unwrap_or_default();
    }
    if let Some(node) = map.get("routes") {
        let items = reader.seq(node, "`routes`").unwrap_or_default();
        if items.len() > ROUTES_MAX {
            reader.error(codes::LIMIT, node.head(), format!("a policy has at most {ROUTES_MAX} routes"));
        }
        policy.routes.clear();
        for item in items.iter().take(ROUTES_MAX) {
            if let Some(route) = read_route(reader, item, named) {
                check_reached(reader, item, &policy.routes, &route);
                policy.routes.push(route);
            }
        }
    }
    // Where a policy has a mistake nobody knows what its tests would say: they are only read.
    let is_whole = reader.problems.len() == before;
    if let Some(node) = map.get("tests") {
        for item in reader.seq(node, "`tests`").unwrap_or_default() {
            let test = read_test(reader, item);
            if is_whole {
                check_test(reader, &test, &policy);
            }
        }
    }
    Some(policy)
}

fn read_bands(reader: &mut Reader<'_>, node: &Node) -> Option<Bands> {
    let map = reader.map(node, "`bands`")?;
    reader.keys(map, &["low", "medium", "high", "critical"], &[]);
    let default = Bands::default();
    let mut band = |key: &str, default: u8| match map.get(key) {
        Some(node) => reader.int(node, key, 1..=100).and_then(|n| u8::try_from(n).ok()),
        None => Some(default),
    };
    let low = band("low", default.low);
    let medium = band("medium", default.medium);
    let high = band("high", default.high);
    let critical = band("critical", default.critical);
    let bands = Bands { low: low?, medium: medium?, high: high?, critical: critical? };
    let rises = bands.low < bands.medium && bands.medium < bands.high && bands.high < bands.critical;
    if !rises {
        let message = format!(
            "bands rise from low to critical, but these are {}, {}, {}, {}",
            bands.low, bands.medium, bands.high, bands.critical
        );
        reader.error(codes::POLICY, node.head(), message);
    }
    Some(bands)
}

fn read_route(reader: &mut Reader<'_>, node: &Node, named: &mut Vec<(Mention, Audience)>) -> Option<Route> {
    let map = reader.map(node, "a route")?;
    reader.keys(map, &["audience", "from", "channels", "all"], &[]);
    reader.require(node, "a route", &["audience", "from", "channels"]);
    let audience = map.get("audience").and_then(|node| reader.word(node, "audience", AUDIENCES));
    let from = map.get("from").and_then(|node| reader.word(node, "band", BANDS));
    let all = map.get("all").and_then(|node| reader.bool(node, "`all`")).unwrap_or(false);
    let channels = channels(reader, map, "channels", false)?;
    if let (Some(audience), Some(node)) = (audience, map.get("channels")) {
        let mentions = channels.iter().zip(node.items()).map(|(channel, item)| {
            let at = (Arc::clone(reader.file), item.span.clone());
            (Mention { word: channel.clone(), at }, audience)
        });
        named.extend(mentions);
    }
    Some(Route { audience: audience?, from: from?, channels, all })
}

fn channels(reader: &mut Reader<'_>, map: &Map, key: &str, may_be_empty: bool) -> Option<Vec<String>> {
    let node = map.get(key)?;
    let items = reader.seq(node, &format!("`{key}`"))?;
    if items.is_empty() && !may_be_empty {
        reader.error(codes::POLICY, node.span.clone(), "a route needs at least one channel");
        return None;
    }
    let mut channels = Vec::new();
    for item in items {
        let Some(channel) = reader.id(item, "the name of a channel") else { continue };
        if channels.contains(&channel) {
            reader.error(codes::POLICY, item.span.clone(), format!("the channel `{channel}` stands here twice"));
        }
        channels.push(channel);
    }
    (channels.len() == items.len()).then_some(channels)
}

/// Tells a route that an earlier one of the same audience always takes away.
fn check_reached(reader: &mut Reader<'_>, node: &Node, before: &[Route], route: &Route) {
    if before.iter().any(|earlier| earlier.audience == route.audience && earlier.from <= route.from) {
        let message = "this route is never taken: an earlier one of the same audience begins at the same band or below";
        reader.error_help(codes::POLICY, node.head(), message, "put the route of the higher band first");
    }
}

/// A test of the policy, each part as far as it could be read.
struct PolicyTest<'n> {
    score: Option<u8>,
    audiences: Option<Vec<Audience>>,
    expect: Option<(Vec<String>, &'n Node)>,
}

/// `{given: {score: 97, audience: [user]}, expect: [email, sms]}`.
fn read_test<'n>(reader: &mut Reader<'_>, node: &'n Node) -> PolicyTest<'n> {
    let mut test = PolicyTest { score: None, audiences: None, expect: None };
    let Some(map) = reader.map(node, "a test of the policy") else { return test };
    reader.keys(map, &["given", "expect"], &[]);
    reader.require(node, "a test of the policy", &["given", "expect"]);
    if let Some(node) = map.get("given")
        && let Some(given) = reader.map(node, "`given`")
    {
        reader.keys(given, &["score", "audience"], &[]);
        reader.require(node, "`given`", &["score", "audience"]);
        let score = given.get("score").and_then(|node| reader.int(node, "score", 0..=100));
        test.score = score.and_then(|n| u8::try_from(n).ok());
        test.audiences = given.get("audience").and_then(|node| {
            let items = reader.one_or_more(node, "`audience`");
            let read: Vec<_> = items.iter().map(|item| reader.word(item, "audience", AUDIENCES)).collect();
            read.into_iter().collect()
        });
    }
    test.expect = channels(reader, map, "expect", true).zip(map.get("expect"));
    test
}

/// Tells where the policy does something else than a test expects. Of a test without a readable score and
/// audience only a channel that no route has is known to be wrong.
fn check_test(reader: &mut Reader<'_>, test: &PolicyTest<'_>, policy: &Policy) {
    let Some((expected, node)) = &test.expect else { return };
    let (Some(score), Some(audiences)) = (test.score, &test.audiences) else {
        let known = policy.routes.iter().flat_map(|route| &route.channels).map(String::as_str);
        let known: Vec<&str> = known.collect::<BTreeSet<_>>().into_iter().collect();
        for (channel, item) in
            expected.iter().zip(node.items()).filter(|(channel, _)| !known.contains(&channel.as_str()))
        {
            let message = format!("no route goes to `{channel}`");
            reader.unknown_word(codes::POLICY, item.span.clone(), message, channel, known.iter().copied());
        }
        return;
    };
    let mut told: Vec<String> = Vec::new();
    for route in audiences.iter().filter_map(|audience| policy.route(score, *audience)) {
        told.extend(route.channels.iter().filter(|channel| !told.contains(channel)).cloned().collect::<Vec<_>>());
    }
    if told != *expected {
        let message = format!("a score of {score} goes to [{}]", told.join(", "));
        reader.error(codes::POLICY, node.span.clone(), message);
    }
}

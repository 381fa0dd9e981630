//! From audience and band to channels, as the policy's routes say.
//!
//! Guarantees: pure; the first route of the audience whose `from` is reached is taken; a route that names no
//! configured channel, or one that cannot carry to its audience, is a problem at load. Does not send.

use crate::report::{Problem, did_you_mean};
use crate::ruleset::{Audience, Band, Policy};

use super::channel::Channels;

/// The chains of channels for an alert: one notice each. Channels that are not configured are passed over:
/// the default policy names `email` and `sms`, and a wallet may have only one of them.
pub fn chains(policy: &Policy, channels: &Channels, audience: Audience, band: Band) -> Vec<Vec<String>> {
    let mut routes = policy.routes.iter().filter(|route| route.audience == audience && band >= route.from);
    let Some(route) = routes.next() else { return Vec::new() };
    let there = route.channels.iter().filter(|name| channels.get(name).is_some()).cloned();
    if route.all {
        return there.map(|name| vec![name]).collect();
    }
    let chain: Vec<String> = there.collect();
    if chain.is_empty() { Vec::new() } else { vec![chain] }
}

/// What is wrong with the routes of a policy somebody wrote, given the configured channels. The default policy
/// need not be asked: it takes what is there.
pub fn check(policy: &Policy, channels: &Channels) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, route) in policy.routes.iter().enumerate() {
        for name in &route.channels {
            let place = format!("route {} of the policy", number + 1);
            match channels.get(name) {
                None => problems.push(not_configured(&place, name, channels)),
                Some(channel) if channel.is_for_users() != (route.audience == Audience::User) => {
                    problems.push(wrong_audience(&place, name, route.audience));
                }
                Some(_) => {}
            }
        }
    }
    problems
}

fn not_configured(place: &str, name: &str, channels: &Channels) -> Problem {
    let problem = Problem::nowhere("N021", format!("{place} names the channel `{name}`, which is not configured"));
    let names: Vec<&str> = channels.names().collect();
    match (did_you_mean(name, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => problem.help(format!("write `{near}`")),
        (None, []) => problem.help("no channel is configured"),
        (None, names) => problem.help(format!("configured are: {}", names.join(", "))),
    }
}

fn wrong_audience(place: &str, name: &str, audience: Audience) -> Problem {
    let message = format!("{place} sends to `{name}`, which cannot carry notices to this audience");
    Problem::nowhere("N022", message).help(match audience {
        Audience::User => "notices to users go by `email` and `sms`",
        Audience::Security | Audience::Operations => "alerts to a team go by a webhook",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alert::{Message, Order, Undeliverable};
    use crate::deliver::channel::{Channel, Sending, Texts};
    use crate::event::Millis;
    use crate::ruleset::Route;

    struct Named {
        for_users: bool,
    }

    impl Channel for Named {
        fn sends_max(&self) -> usize {
            1
        }
        fn is_for_users(&self) -> bool {
            self.for_users
        }
        fn compose(&self, _: &Order<'_>, _: Option<&Texts>) -> Result<Message, Undeliverable> {
            Err(Undeliverable::NoAddress)
        }
        fn send(self: Arc<Self>, _: String, _: Message, _: Millis) -> Sending {
            Box::pin(std::future::pending())
        }
    }

    fn channels(names: &[&str]) -> Channels {
        let mut channels = Channels::default();
        for name in names {
            channels.add(*name, Arc::new(Named { for_users: matches!(*name, "email" | "sms") }));
        }
        channels
    }

    #[test]
    fn the_first_route_reached_is_taken() {
        let both = channels(&["email", "sms"]);
        let of = |band| chains(&Policy::default(), &both, Audience::User, band);
        assert_eq!(of(Band::Critical), [["email"], ["sms"]], "critical: both at once");
        assert_eq!(of(Band::High), [["email", "sms"]], "below: the second in reserve");
        assert!(chains(&Policy::default(), &both, Audience::Security, Band::Critical).is_empty());
        let mail_only = channels(&["email"]);
        assert_eq!(chains(&Policy::default(), &mail_only, Audience::User, Band::Critical), [["email"]]);
    }

    #[test]
    fn a_route_to_nowhere_is_a_problem() {
        let route =
            |audience, name: &str| Route { audience, from: Band::Info, channels: vec![name.into()], all: false };
        let routes =
            vec![route(Audience::User, "emial"), route(Audience::Security, "sms"), route(Audience::User, "soc")];
        let policy = Policy { routes, ..Policy::default() };
        let told: Vec<String> = check(&policy, &channels(&["email", "sms", "soc"]))
            .into_iter()
            .map(|p| format!("{p} ({})", p.help.as_deref().unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}

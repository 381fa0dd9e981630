//! From audience and band to channels, as the policy's routes say.
//!
//! Guarantees: pure; the first route of the audience whose `from` is reached is taken; a route that names no
//! configured channel, or one that cannot carry to its audience, is a problem at load. Does not send.

use crate::report::{Problem, did_you_mean};
use crate::ruleset::{Audience, Band, Mention, Policy};

use super::channel::Channels;
use super::config::ChannelsConfig;

/// The chains of channels for an alert: one notice each. Channels that are not configured are passed over:
/// the default policy names `email` and `sms`, and a wallet may have only one of them.
pub fn chains(policy: &Policy, channels: &Channels, audience: Audience, band: Band) -> Vec<Vec<String>> {
    let Some(route) = policy.route_of(band, audience) else { return Vec::new() };
    let there = route.channels.iter().filter(|name| channels.get(name).is_some()).cloned();
    if route.all {
        return there.map(|name| vec![name]).collect();
    }
    let chain: Vec<String> = there.collect();
    if chain.is_empty() { Vec::new() } else { vec![chain] }
}

/// What is wrong with the channels that the routes of a policy name, given the configured ones: a channel that is
/// configured wrongly is there. The default policy need not be asked: it takes what is there.
pub fn check(named: &[(Mention, Audience)], config: &ChannelsConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (mention, audience) in named {
        match config.names().find(|(name, _)| *name == mention.word) {
            None => problems.push(not_configured(mention, config)),
            Some((_, for_users)) if for_users != (*audience == Audience::User) => {
                problems.push(wrong_audience(mention, *audience));
            }
            Some(_) => {}
        }
    }
    problems
}

fn not_configured(mention: &Mention, config: &ChannelsConfig) -> Problem {
    let name = mention.word.as_str();
    let (file, span) = &mention.at;
    let problem = Problem::error("N021", file, span.clone(), format!("the channel `{name}` is not configured"));
    let names: Vec<&str> = config.names().map(|(name, _)| name).collect();
    match (did_you_mean(name, names.iter().copied()), names.as_slice()) {
        (Some(near), _) => problem.fix(span.clone(), near),
        (None, []) => problem.help("no channel is: the configuration has neither [email], [sms] nor [webhook.NAME]"),
        (None, names) => problem.help(format!("configured are: {}", names.join(", "))),
    }
}

fn wrong_audience(mention: &Mention, audience: Audience) -> Problem {
    let (file, span) = &mention.at;
    let message = format!("the channel `{}` cannot carry notices to this audience", mention.word);
    Problem::error("N022", file, span.clone(), message).help(match audience {
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
    use crate::deliver::config::{EmailConfig, SmsConfig, WebhookConfig};
    use crate::event::Millis;
    use crate::report::{SourceFile, render};
    use crate::secret::Secret;

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
        let text = "emial sms soc soc\n";
        let file = Arc::new(SourceFile { path: "policy.yaml".to_owned(), text: text.to_owned() });
        let named = |word: &str, from: usize, audience| {
            (Mention { word: word.to_owned(), at: (Arc::clone(&file), from..from + word.len()) }, audience)
        };
        let named = [
            named("emial", 0, Audience::User),
            named("sms", 6, Audience::Security),
            named("soc", 10, Audience::User),
            named("soc", 14, Audience::Security),
        ];
        let hook = WebhookConfig::new("https://soc.example/", Secret::new(String::new()));
        let config = ChannelsConfig {
            email: Some(EmailConfig::new("smtp.example", 587, "a@b.example")),
            sms: Some(SmsConfig::new(hook.clone(), &["+86"])),
            webhooks: [("soc".to_owned(), hook)].into(),
        };
        insta::assert_snapshot!(render(&check(&named, &config), false));
        let none = check(&named[..1], &ChannelsConfig::default());
        assert!(none[0].help.as_deref().is_some_and(|help| help.starts_with("no channel is")));
    }
}

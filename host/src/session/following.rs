//! What a client follows while it sends nothing.

use crate::{
    news::{Event, News, Subscription, Topic},
    wire::Encoder,
};

/// What a client follows, through one subscription for all topics.
#[derive(Default)]
pub(super) struct Following {
    /// Present while there is a topic.
    subscription: Option<Subscription>,
    plugins: bool,
    commands: bool,
}

impl Following {
    /// Starts to follow a topic, or ends it where nothing is given to follow it through.
    pub(super) fn change(&mut self, topic: Topic, subscription: Option<Subscription>) {
        match topic {
            Topic::Plugins => self.plugins = subscription.is_some(),
            Topic::Commands => self.commands = subscription.is_some(),
        }
        // The first one stays: it may hold news that are not told yet.
        self.subscription = self.subscription.take().or(subscription);
        if !self.plugins && !self.commands {
            self.subscription = None;
        }
    }

    /// What it is followed through, if anything is.
    pub(super) fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// Whether it is told all that happens to plugins.
    pub(super) fn plugins(&self) -> bool {
        self.plugins
    }

    /// Writes what has happened since this was last asked.
    pub(super) fn tell(&self, replies: &mut Encoder) {
        let Some(subscription) = &self.subscription else { return };
        let mut changed = false;
        for news in subscription.read() {
            changed |= matches!(news.event, Event::Loaded | Event::Swapped | Event::Withdrawn);
            if self.plugins {
                plugin(&news, replies);
            }
        }
        // Once for all of them: the client looks at the table as it is then.
        if changed && self.commands {
            replies.push(&[b"commands", b"changed"]);
        }
    }
}

fn plugin(news: &News, replies: &mut Encoder) {
    let generation = news.generation.to_string();
    replies.push(&[
        b"plugin",
        news.event.name().as_bytes(),
        news.plugin.as_bytes(),
        generation.as_bytes(),
        news.detail.as_bytes(),
    ]);
}

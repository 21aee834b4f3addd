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
        let missed = subscription.missed();
        if missed > 0 {
            // They may have been about the commands.
            changed = true;
            if self.plugins {
                replies.push(&[b"plugin", b"missed", missed.to_string().as_bytes()]);
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{news::Newsroom, wire::Protocol};

    #[test]
    fn a_busy_subscriber_is_told_what_it_missed() {
        let room = Arc::<Newsroom>::default();
        let drained = || News {
            event: Event::Drained,
            plugin: "text".into(),
            generation: 1,
            file: "libtext.so".into(),
            took: Duration::ZERO,
            detail: String::new(),
        };
        for (topic, expected) in [
            (Topic::Commands, ">2\r\n$8\r\ncommands\r\n$7\r\nchanged\r\n"),
            (Topic::Plugins, ">3\r\n$6\r\nplugin\r\n$6\r\nmissed\r\n$2\r\n44\r\n"),
        ] {
            let mut following = Following::default();
            following.change(topic, Some(room.subscribe().unwrap()));
            (0..300).for_each(|_| room.tell(drained()));
            let mut replies = Encoder::new(Protocol::Resp3);
            following.tell(&mut replies);
            let text = String::from_utf8_lossy(replies.pending()).into_owned();
            assert!(text.ends_with(expected), "{topic:?}");
            replies.clear();
            following.tell(&mut replies);
            assert!(replies.is_empty(), "{topic:?}: once");
        }
    }
    #[test]
    fn each_topic_is_told_to_its_subscriber() {
        let room = Arc::<Newsroom>::default();
        let news = |event| News {
            event,
            plugin: "text".into(),
            generation: 1,
            file: "libtext.so".into(),
            took: Duration::ZERO,
            detail: String::new(),
        };
        let happen = |events: &[Event]| events.iter().for_each(|event| room.tell(news(*event)));
        let told = |following: &Following| {
            let mut replies = Encoder::new(Protocol::Resp3);
            following.tell(&mut replies);
            let text = String::from_utf8_lossy(replies.pending()).into_owned();
            (text.matches("plugin\r\n").count(), text.matches("commands\r\n").count())
        };
        let mut following = Following::default();
        following.change(Topic::Commands, Some(room.subscribe().unwrap()));
        assert!(!following.plugins());
        happen(&[Event::Drained, Event::Unloaded]);
        assert_eq!(told(&following), (0, 0), "the commands are as before");
        happen(&[Event::Loaded, Event::Swapped, Event::Drained]);
        assert_eq!(told(&following), (0, 1), "once for all of them");
        following.change(Topic::Plugins, Some(room.subscribe().unwrap()));
        assert!(following.plugins());
        happen(&[Event::Loaded, Event::Drained]);
        assert_eq!(told(&following), (2, 1));
        following.change(Topic::Commands, None);
        happen(&[Event::Loaded]);
        assert_eq!(told(&following), (1, 0), "the other topic is still followed");
        following.change(Topic::Plugins, None);
        assert!(following.subscription().is_none());
    }
}

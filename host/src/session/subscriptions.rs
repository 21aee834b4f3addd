//! The topics that a client has subscribed to.

use plugin_engine::events::{EventKind, PluginEvent, Subscription, Topic};
use protocol::Encoder;

/// The topics that a client has subscribed to, through one subscription for all of them.
#[derive(Default)]
pub(super) struct Subscriptions {
    /// Present while there is a topic.
    subscription: Option<Subscription>,
    plugins: bool,
    commands: bool,
}

impl Subscriptions {
    /// Subscribes to a topic, or unsubscribes from it if `subscription` is `None`.
    pub(super) fn change(&mut self, topic: Topic, subscription: Option<Subscription>) {
        match topic {
            Topic::Plugins => self.plugins = subscription.is_some(),
            Topic::Commands => self.commands = subscription.is_some(),
        }
        // The first subscription stays: it may hold events that are not pushed yet.
        self.subscription = self.subscription.take().or(subscription);
        if !self.plugins && !self.commands {
            self.subscription = None;
        }
    }

    /// Returns the subscription; `None` if the client has subscribed to no topic.
    pub(super) fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// Returns whether the client has subscribed to plugin events.
    pub(super) fn plugins(&self) -> bool {
        self.plugins
    }

    /// Writes a push for each event since the last call.
    pub(super) fn push(&self, replies: &mut Encoder) {
        let Some(subscription) = &self.subscription else { return };
        let mut changed = false;
        for event in subscription.read() {
            changed |= matches!(
                event.kind,
                EventKind::Loaded
                    | EventKind::Swapped
                    | EventKind::Withdrawn
                    | EventKind::CommandsChanged
                    | EventKind::FleetChanged
            );
            if self.plugins && event.kind != EventKind::FleetChanged {
                push_plugin_event(&event, replies);
            }
        }
        let missed = subscription.missed();
        if missed > 0 {
            // The missed events may have changed the commands.
            changed = true;
            if self.plugins {
                replies.push(&[b"plugin", b"missed", missed.to_string().as_bytes()]);
            }
        }
        // One push for all events: the client reads the current commands anyway.
        if changed && self.commands {
            replies.push(&[b"commands", b"changed"]);
        }
    }
}

fn push_plugin_event(event: &PluginEvent, replies: &mut Encoder) {
    let generation = event.generation.to_string();
    replies.push(&[
        b"plugin",
        event.kind.name().as_bytes(),
        event.plugin.as_bytes(),
        generation.as_bytes(),
        event.detail.as_bytes(),
    ]);
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use plugin_engine::events::EventBus;
    use protocol::Protocol;

    #[test]
    fn busy_subscriber_gets_count_of_missed_events() {
        let bus = Arc::<EventBus>::default();
        let drained = || PluginEvent {
            kind: EventKind::Drained,
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
            let mut subscriptions = Subscriptions::default();
            subscriptions.change(topic, Some(bus.subscribe().unwrap()));
            (0..300).for_each(|_| bus.publish(drained()));
            let mut replies = Encoder::new(Protocol::Resp3);
            subscriptions.push(&mut replies);
            let text = String::from_utf8_lossy(replies.pending()).into_owned();
            assert!(text.ends_with(expected), "{topic:?}");
            replies.clear();
            subscriptions.push(&mut replies);
            assert!(replies.is_empty(), "{topic:?}: once");
        }
    }
    #[test]
    fn event_reaches_subscribers_of_its_topic() {
        let bus = Arc::<EventBus>::default();
        let event = |kind| PluginEvent {
            kind,
            plugin: "text".into(),
            generation: 1,
            file: "libtext.so".into(),
            took: Duration::ZERO,
            detail: String::new(),
        };
        let happen =
            |events: &[EventKind]| events.iter().for_each(|kind| bus.publish(event(*kind)));
        let told = |subscriptions: &Subscriptions| {
            let mut replies = Encoder::new(Protocol::Resp3);
            subscriptions.push(&mut replies);
            let text = String::from_utf8_lossy(replies.pending()).into_owned();
            (text.matches("plugin\r\n").count(), text.matches("commands\r\n").count())
        };
        let mut subscriptions = Subscriptions::default();
        subscriptions.change(Topic::Commands, Some(bus.subscribe().unwrap()));
        assert!(!subscriptions.plugins());
        happen(&[EventKind::Drained, EventKind::Unloaded]);
        assert_eq!(told(&subscriptions), (0, 0), "the commands are as before");
        happen(&[EventKind::Loaded, EventKind::Swapped, EventKind::Drained]);
        assert_eq!(told(&subscriptions), (0, 1), "once for all of them");
        subscriptions.change(Topic::Plugins, Some(bus.subscribe().unwrap()));
        assert!(subscriptions.plugins());
        happen(&[EventKind::Loaded, EventKind::Drained]);
        assert_eq!(told(&subscriptions), (2, 1));
        subscriptions.change(Topic::Commands, None);
        happen(&[EventKind::Loaded]);
        assert_eq!(told(&subscriptions), (1, 0), "the other topic is still followed");
        subscriptions.change(Topic::Plugins, None);
        assert!(subscriptions.subscription().is_none());
    }
}

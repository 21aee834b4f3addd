//! Lets hosts that share a NATS server answer each other's commands.
//!
//! A command that is not loaded on one host is answered by any other that has it. NATS carries the
//! calls and chooses the host, by a queue group for each command; this crate describes the commands
//! of the others to the plugin engine, as workers, and answers the calls of the others with the
//! workers of this host. The NATS client and its runtime have one thread; workers run on others.
//!
//! - [`Fleet`] is the membership of this host. It starts and ends the thread.
//! - `calling/` is the side of the host that has a client: the worker of a remote command
//!   (`worker`), the calls that wait for their replies (`pending`), and the watch that finds out
//!   which host has a call and whether it still lives (`watch`).
//! - `answering/` is the side of the host that has the plugin: the subscriptions (`endpoints`), the
//!   run of one call (`run`), its context (`context`), and the list of those that run (`running`).
//! - `rollout/` brings plugins to all hosts.
//! - `members` knows the other hosts, `alive` announces this one (`announcement`), `echo` and `stall`
//!   tell a slow connection from silent hosts, `service` describes this host to the programs of
//!   NATS, `outbox` sends, `inbox` receives, `envelope` is the form of the messages.

mod alive;
mod announcement;
mod answering;
mod calling;
mod connection;
mod echo;
mod envelope;
mod error;
mod fleet;
mod inbox;
mod link;
mod members;
mod node;
mod outbox;
mod rollout;
mod service;
mod settings;
mod stall;
mod subjects;
mod transcode;

pub use self::{
    error::StartError,
    fleet::Fleet,
    members::MemberFacts,
    node::HostParts,
    rollout::{RolloutError, RolloutFacts, Rollouts},
    settings::{Credentials, Settings},
};

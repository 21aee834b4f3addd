//! What differs between systems, in one place.

mod descriptors;
pub mod durable;
#[cfg(windows)]
mod exclusive;
mod files;
mod folders;
mod hearing;
mod journal;
mod memory;
mod net;
mod process;
mod scheduling;
mod service;
mod signals;
mod wake;

pub use self::{
    descriptors::{Spare, descriptor_limit, is_out_of_descriptors, raise_descriptor_limit},
    files::{
        LIBRARY_EXTENSION, closed_to_others, identity, is_in_use, is_mapped, is_own, is_passing,
        links, make_private_dir, mode_for_others, open_complete, open_file, open_plain,
        path_identity, persist, persist_until, rights,
    },
    folders::{config_dir, state_dir},
    hearing::{Hearing, Waited},
    journal::logs_to_journal,
    memory::{Usage, total_memory, usage},
    net::{
        Hangup, bound_writes, claim_port, is_taken, is_writable, prepare, wait_for_client,
        wait_for_hangup, wake_listener, write,
    },
    process::{Group, Terminal, die_with_parent, own_program},
    scheduling::{give_way, name_thread},
    service::{has_service_manager, inherited_listeners, tell_service_manager, watchdog},
    signals::{EndSignal, when_asked_to_end},
    wake::{Alarm, Wake},
};

//! What differs between systems, in one place.

mod descriptors;
mod files;
mod journal;
mod memory;
mod net;
mod process;
mod scheduling;
mod service;
mod wake;

pub use self::{
    descriptors::{Spare, is_out_of_descriptors, raise_descriptor_limit},
    files::{
        LIBRARY_EXTENSION, closed_to_others, identity, is_mapped, is_own, links, make_private_dir,
        mode_for_others, open_file, open_plain, rights,
    },
    journal::logs_to_journal,
    memory::{Usage, usage},
    net::{
        Hangup, claim_port, is_writable, prepare, wait_for_client, wait_for_hangup, wake_listener,
    },
    process::{die_with_parent, kill_group, own_group, own_program},
    scheduling::{give_way, name_thread},
    service::{has_service_manager, inherited_listeners, tell_service_manager, watchdog},
    wake::{Alarm, Waited, Wake, wait_for_input, wait_readable},
};

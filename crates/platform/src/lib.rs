//! Hides the differences between operating systems.

mod descriptors;
pub mod durable;
mod endable_reader;
#[cfg(windows)]
mod exclusive;
mod files;
mod folders;
mod interruptible_reader;
mod journal;
mod memory;
mod net;
mod poller;
mod process;
mod scheduling;
mod service;
pub mod shared_memory;
mod signals;
mod waker;
mod worker_link;

pub use self::{
    descriptors::{ReservedFd, descriptor_limit, is_out_of_descriptors, raise_descriptor_limit},
    endable_reader::{EndableReader, ReaderEnd},
    files::{
        LIBRARY_EXTENSION, closed_to_others, identity, is_in_use, is_mapped, is_own, is_passing,
        links, make_private_dir, mode_for_others, open_complete, open_file, open_plain,
        path_identity, retry_while_in_use, retry_while_in_use_until, rights, set_program_rights,
    },
    folders::{config_dir, state_dir},
    interruptible_reader::{InterruptibleReader, Waited},
    journal::logs_to_journal,
    memory::{
        ResourceUsage, bound_arenas, group_size, release_freed_memory, resident_of, scheduled,
        total_memory, usage,
    },
    net::{
        Hangup, bound_writes, claim_port, is_taken, is_writable, machine_name, prepare,
        wait_for_client, wait_for_hangup, wake_listener, write,
    },
    poller::{Poller, Ready},
    process::{ExitObserver, Group, Terminal, die_with_parent, own_program},
    scheduling::{name_thread, set_batch_scheduling},
    service::{has_service_manager, inherited_listeners, notify_service_manager, watchdog},
    signals::{EndSignal, on_end_signal},
    waker::{WakeReceiver, Waker},
    worker_link::{Connection, HostLink, MEMORY, Opened, WorkerLink},
};

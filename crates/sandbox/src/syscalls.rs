//! Denies system calls, by a seccomp filter.

use std::{collections::BTreeMap, process};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, sock_filter,
};

use crate::error::ApplyError;

/// Operations that Landlock of an older kernel does not restrict, and that the filter denies then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Signals to processes outside the sandbox: before Linux 6.12.
    pub(crate) signals: bool,
    /// Truncating a file that is not open for writing: before Linux 6.2.
    pub(crate) truncation: bool,
}

/// Calls that reach into other processes or change the whole system.
const DENIED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_kexec_load,
    #[cfg(not(all(target_arch = "aarch64", target_env = "musl")))]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denies system calls to this thread and to all that it starts; they fail with `EPERM`.
pub(crate) fn restrict(strict: bool, gaps: Gaps) -> Result<(), ApplyError> {
    let operation = "restrict system calls by seccomp";
    let filter = program(strict, gaps).map_err(|error| ApplyError::new(operation, error))?;
    seccompiler::apply_filter(&filter).map_err(|error| ApplyError::new(operation, error))
}

fn program(strict: bool, gaps: Gaps) -> Result<BpfProgram, BackendError> {
    let target = std::env::consts::ARCH.try_into()?;
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let rules = rules(strict, gaps)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied.clone(), target)?;
    let mut program = foreign_numbers(denied);
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

/// Denies the x32 calls: the same calls by other numbers.
fn foreign_numbers(denied: SeccompAction) -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let code = |parts: [u32; 3]| (parts[0] | parts[1] | parts[2]) as u16;
    if !cfg!(target_arch = "x86_64") {
        return BpfProgram::new();
    }
    vec![
        // The number of the call is the first word of the data.
        instruction(code([libc::BPF_LD, libc::BPF_W, libc::BPF_ABS]), 0, 0, 0),
        instruction(code([libc::BPF_JMP, libc::BPF_JGE, libc::BPF_K]), 0, 1, X32_BIT),
        instruction(code([libc::BPF_RET, libc::BPF_K, 0]), 0, 0, denied.into()),
    ]
}

fn rules(strict: bool, gaps: Gaps) -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    deny_others_limits(&mut rules)?;
    deny_terminal_input(&mut rules)?;
    if strict {
        deny_network(&mut rules)?;
    }
    if gaps.signals {
        deny_signals(&mut rules)?;
    }
    if gaps.truncation {
        deny_truncation(&mut rules)?;
    }
    Ok(rules)
}

/// A limit of processor time would end the host by a signal.
fn deny_others_limits(rules: &mut Rules) -> Result<(), BackendError> {
    let other = [(0, SeccompCmpOp::Ne, 0), (0, SeccompCmpOp::Ne, own_id())];
    let mut conditions = conditions(&other)?;
    // The third argument is the new limit; reading a limit has none.
    conditions.push(SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?);
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(conditions)?]);
    Ok(())
}

/// An inherited terminal would take commands from the process as if they were typed.
fn deny_terminal_input(rules: &mut Rules) -> Result<(), BackendError> {
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541C;
    for request in [TIOCSTI, TIOCLINUX] {
        deny_if(rules, libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request)])?;
    }
    Ok(())
}

/// Pairs of connected sockets stay, but not datagram sockets: those can send to any path.
fn deny_network(rules: &mut Rules) -> Result<(), BackendError> {
    // Its requests make and connect sockets past this filter.
    rules.insert(libc::SYS_io_uring_setup, Vec::new());
    rules.insert(libc::SYS_socket, Vec::new());
    let pair = libc::SYS_socketpair;
    deny_if(rules, pair, &[(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)])?;
    let type_bits = SeccompCmpOp::MaskedEq(0xF);
    // Linux takes a raw local socket for a datagram socket.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        deny_if(rules, pair, &[(1, type_bits.clone(), kind as u64)])?;
    }
    Ok(())
}

/// Signals to the process itself and to its process group stay; a child cannot signal itself.
fn deny_signals(rules: &mut Rules) -> Result<(), BackendError> {
    let other = (0, SeccompCmpOp::Ne, own_id());
    deny_if(rules, libc::SYS_kill, &[other.clone(), (0, SeccompCmpOp::Ne, 0)])?;
    for call in [libc::SYS_tgkill, libc::SYS_tkill] {
        deny_if(rules, call, std::slice::from_ref(&other))?;
    }
    for call in
        [libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_pidfd_send_signal]
    {
        rules.insert(call, Vec::new());
    }
    // The owner of a file gets a signal when it can be read.
    const FIOSETOWN: u64 = 0x8901;
    const SIOCSPGRP: u64 = 0x8902;
    const F_SETOWN_EX: u64 = 15;
    for command in [libc::F_SETOWN as u64, F_SETOWN_EX] {
        deny_if(rules, libc::SYS_fcntl, &[(1, SeccompCmpOp::Eq, command)])?;
    }
    for request in [FIOSETOWN, SIOCSPGRP] {
        deny_if(rules, libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request)])?;
    }
    Ok(())
}

/// Opening with truncation stays where the file is opened for writing, which Landlock restricts.
fn deny_truncation(rules: &mut Rules) -> Result<(), BackendError> {
    // A path cannot be compared; files that are open for writing can still be truncated. The
    // arguments of the other two are in memory, where a filter cannot see them.
    for call in [libc::SYS_truncate, libc::SYS_openat2, libc::SYS_io_uring_setup] {
        rules.insert(call, Vec::new());
    }
    let truncate = libc::O_TRUNC as u64;
    let mode = libc::O_ACCMODE as u64;
    // 3 asks for reading and writing, and opens for neither.
    for unwritable in [libc::O_RDONLY as u64, 3] {
        let flags = (SeccompCmpOp::MaskedEq(truncate | mode), truncate | unwritable);
        deny_if(rules, libc::SYS_openat, &[(2, flags.0.clone(), flags.1)])?;
        #[cfg(target_arch = "x86_64")]
        deny_if(rules, libc::SYS_open, &[(1, flags.0, flags.1)])?;
    }
    Ok(())
}

fn own_id() -> u64 {
    process::id().into()
}

/// Denies a call if all conditions hold: the number of the argument, the comparison, the value.
fn deny_if(
    rules: &mut Rules,
    call: i64,
    wanted: &[(u8, SeccompCmpOp, u64)],
) -> Result<(), BackendError> {
    rules.entry(call).or_default().push(SeccompRule::new(conditions(wanted)?)?);
    Ok(())
}

fn conditions(wanted: &[(u8, SeccompCmpOp, u64)]) -> Result<Vec<SeccompCondition>, BackendError> {
    wanted
        .iter()
        .map(|(argument, operator, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect()
}

//! Claims a port for this process alone, on Windows.
//!
//! No library offers `SO_EXCLUSIVEADDRUSE`, without which another program of the same user can bind
//! the port with `SO_REUSEADDR` and receive the clients:
//! <https://learn.microsoft.com/windows/win32/winsock/using-so-reuseaddr-and-so-exclusiveaddruse>
#![allow(unsafe_code, reason = "see above")]

use std::{io, os::windows::io::AsRawSocket};

use socket2::Socket;
use windows_sys::Win32::Networking::WinSock::{SO_EXCLUSIVEADDRUSE, SOL_SOCKET, setsockopt};

/// Prevents every other program from binding the address to which the socket will be bound.
///
/// # Errors
/// The system refuses the option.
pub fn claim(socket: &Socket) -> io::Result<()> {
    let on = 1_i32.to_ne_bytes();
    let raw = socket.as_raw_socket() as usize;
    // SAFETY: the socket is open for as long as it is borrowed, and the system reads the four bytes
    // of a BOOL, for which `on` has room, before it returns.
    let outcome =
        unsafe { setsockopt(raw, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, on.as_ptr(), on.len() as i32) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

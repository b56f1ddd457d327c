//! The system calls that the standard library does not offer, and the threads that send files and wait for sockets.
//!
//! This is the only crate of the workspace with unsafe code. Everything unsafe is one libc call in [`calls`], wrapped so that
//! its arguments are slices and typed values; the rest of the crate, and all of the other crates, are safe Rust on top.
//!
//! Descriptors of sockets come from JavaScript as plain numbers. A number that is not open, or has become somebody else's,
//! makes these calls fail or act on the wrong descriptor, never on memory that is not ours; whoever passes one vouches that
//! the socket is open for the length of the call. [`Sender`] duplicates it at once and so needs no longer promise.

#[cfg(not(target_os = "linux"))]
compile_error!("sluice-sys uses epoll, eventfd and sendfile: Linux only");

mod address;
mod calls;
mod sender;
mod socket;
mod waiter;

pub use address::probe_address;
pub use calls::{
    Epoll, EpollEvent, EventFd, FileSystemSpace, Interest, acknowledged_bytes, descriptor_limit,
    drop_cached, duplicate, file_system_space, ignore_file_size_signal, is_all_cached,
    is_any_cached, lower_thread_priority, raise_descriptor_limit, reserve, set_nonblocking,
    sync_file_system, tells_file_system_errors, use_idle_disk_only, without_read_ahead,
};
pub use sender::{Outbox, Part, SendJob, Sender, SenderCounters, SliceSource};
pub use socket::{
    Received, Sent, receive_into, send_file_from, send_from, set_no_delay,
    set_receive_buffer_bytes, set_send_buffer_bytes,
};
pub use waiter::Waiter;

//! Sockets: receiving past the event loop, and the sending thread's completions.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::Function;
use napi_derive::napi;
use sluice_sys::{Outbox, Received, SendJob, Sender};

use crate::error::{CodedError, Result, invalid, unknown};
use crate::slots::SlotTable;
use crate::views::{BytesMut, NumbersMut};
use crate::wake::{callback, ring};

/// The process's one sending thread; it lives as long as the process.
static SENDER: OnceLock<Sender> = OnceLock::new();
static OUTBOXES: SlotTable<Arc<Outbox>> = SlotTable::new();

/// A sender id, resolved.
pub(crate) struct SenderHandle {
    sender: &'static Sender,
    outbox: Arc<Outbox>,
}

impl SenderHandle {
    pub(crate) fn send(&self, fd: i32, job: SendJob) -> Option<i32> {
        self.sender.send(fd, job, &self.outbox)
    }
}

pub(crate) fn sender_of(sender_id: f64) -> Result<SenderHandle> {
    match (SENDER.get(), OUTBOXES.get(sender_id)) {
        (Some(sender), Some(outbox)) => Ok(SenderHandle { sender, outbox }),
        _ => Err(unknown("the sender")),
    }
}

/// Receives into `into` at `at`, at most `length` bytes, with one system call that does not wait. Returns bytes received; 0
/// when nothing is there; -1 when the peer has closed; below that, the negated errno.
#[napi(catch_unwind)]
pub fn recv_into(
    fd: f64,
    #[napi(ts_arg_type = "Uint8Array")] mut into: BytesMut<'_>,
    at: f64,
    length: f64,
) -> Result<f64> {
    let start = at as usize;
    let target = into
        .get_mut(start..start.saturating_add(length as usize))
        .ok_or_else(|| invalid("the range is outside of the buffer"))?;
    Ok(match sluice_sys::receive_into(fd as i32, target) {
        Received::Bytes(count) => count as f64,
        Received::WouldBlock => 0.0,
        Received::Closed => -1.0,
        Received::Failed(errno) => -f64::from(errno.max(2)),
    })
}

/// Sets the kernel's buffers of a socket, in bytes; -1 leaves the system's own sizing. A refusal by the system is no error.
#[napi(catch_unwind)]
pub fn set_socket_buffers(fd: f64, send_bytes: f64, receive_bytes: f64) {
    if send_bytes >= 0.0 {
        let _ = sluice_sys::set_send_buffer_bytes(fd as i32, send_bytes as i32);
    }
    if receive_bytes >= 0.0 {
        let _ = sluice_sys::set_receive_buffer_bytes(fd as i32, receive_bytes as i32);
    }
}

/// Why `host:port` cannot be bound: a code as Node spells it (`EADDRINUSE`, `EACCES`) or the system's words; null when it can.
/// Nothing listens there at any time.
#[napi(catch_unwind)]
pub fn probe_address(host: String, port: u16) -> Option<String> {
    let error = sluice_sys::probe_address(&host, port).err()?;
    Some(match error.kind() {
        ErrorKind::AddrInUse => "EADDRINUSE".to_owned(),
        ErrorKind::PermissionDenied => "EACCES".to_owned(),
        _ => error.to_string(),
    })
}

/// Bytes that the peer of a TCP socket has acknowledged so far; -1 when the system does not tell.
#[napi(catch_unwind)]
pub fn acknowledged_bytes(fd: f64) -> f64 {
    sluice_sys::acknowledged_bytes(fd as i32).map_or(-1.0, |bytes| bytes as f64)
}

/// Most descriptors this process may have open; -1 where there is no limit.
#[napi(catch_unwind)]
pub fn descriptor_limit() -> f64 {
    sluice_sys::descriptor_limit().map_or(-1.0, |limit| limit as f64)
}

/// Opens a place for completions of `planSend`; starts the sending thread if it does not run yet. `done` runs on the calling
/// thread when the first completion arrives, and not again before `drainSent`. It does not keep the event loop alive.
#[napi(catch_unwind)]
pub fn open_sender(done: Function<'_, (), ()>) -> Result<f64> {
    let callback = callback(&done)?;
    let sender = if let Some(sender) = SENDER.get() {
        sender
    } else {
        let started = Sender::spawn().map_err(|error| {
            CodedError::new(
                sluice_log::LogError::IO,
                format!("the sending thread does not start: {error}"),
            )
        })?;
        // Another Worker may have been faster; its thread is kept and ours ends.
        SENDER.get_or_init(|| started)
    };
    let outbox = sender.open_outbox(move || {
        ring(&callback);
    });
    OUTBOXES.insert(outbox).ok_or_else(|| invalid("too many senders are open"))
}

/// Ends what `openSender` began. Jobs in flight go on; their completions are lost.
#[napi(catch_unwind)]
pub fn close_sender(sender_id: f64) {
    OUTBOXES.remove(sender_id);
}

/// Takes completions as pairs of token and status (0: all sent, else the errno that ended it), as many as `out` holds, and
/// returns how many. Call until fewer come than fit.
#[napi(catch_unwind)]
pub fn drain_sent(
    sender_id: f64,
    #[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>,
) -> Result<f64> {
    let SenderHandle { outbox, .. } = sender_of(sender_id)?;
    let max = out.len() / 2;
    let mut places = out.chunks_exact_mut(2);
    let count = outbox.drain(max, |token, status| {
        if let Some([to_token, to_status]) = places.next() {
            *to_token = token as f64;
            *to_status = f64::from(status);
        }
    });
    Ok(count as f64)
}

/// Gives up a send, for a connection that is gone: it completes with ECANCELED (125) and lets go of the socket.
#[napi(catch_unwind)]
pub fn cancel_send(sender_id: f64, token: f64) -> Result<()> {
    let SenderHandle { sender, outbox } = sender_of(sender_id)?;
    sender.cancel(&outbox, token as u64);
    Ok(())
}

/// What the sending thread has done since the process started. `out`: bytes, send calls, sendfile calls, waits, jobs.
#[napi(catch_unwind)]
pub fn sender_counters(#[napi(ts_arg_type = "Float64Array")] mut out: NumbersMut<'_>) {
    let counters = SENDER.get().map(Sender::counters).unwrap_or_default();
    crate::write::fill(
        &mut out,
        &[
            counters.bytes as f64,
            counters.send_calls as f64,
            counters.send_file_calls as f64,
            counters.waits as f64,
            counters.jobs as f64,
        ],
    );
}

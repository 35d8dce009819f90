// SPDX-License-Identifier: GPL-2.0-or-later
//! Kernel TCP: connecting, listening, options, the end. See [`super::send`] and [`super::recv`] for
//! the bytes.
//!
//! Sockets live in the initial network namespace and allocate with `GFP_NOIO`.

use super::{
    addr::{RawAddr, SockAddr},
    deferred::{Deferred, Release},
    recv::RecvWait,
    timer::now_ms,
};
use crate::sys as c;
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};

pub(crate) use super::send::{PageMode, SendFlags};

/// A shutdown ends the wait for the peer's answer, but TCP does not remember one of before the first
/// packet: after so long it is found out otherwise.
const UNHEARD_MS: u64 = 250;

/// Options that are set before connecting or listening.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SockOpts {
    /// Send buffer in bytes, 0 lets TCP tune it.
    pub(crate) sndbuf: u32,
    /// Receive buffer in bytes, 0 lets TCP tune it.
    pub(crate) rcvbuf: u32,
    /// Priority of interactive traffic (meta connection) instead of bulk.
    pub(crate) interactive: bool,
}

/// # Invariants
///
/// `raw` is a live kernel socket that nobody else releases.
pub(super) struct RawSocket {
    pub(super) raw: NonNull<c::socket>,
}

// SAFETY: Socket operations lock internally.
unsafe impl Send for RawSocket {}
// SAFETY: As above.
unsafe impl Sync for RawSocket {}

impl Release for RawSocket {}

impl Drop for RawSocket {
    fn drop(&mut self) {
        // SAFETY: Live by the invariant; released once.
        unsafe { c::sock_release(self.raw.as_ptr()) };
    }
}

impl RawSocket {
    fn new(family: i32, opts: &SockOpts) -> Result<Self> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: Valid out pointer; the initial namespace always exists.
        to_result(unsafe {
            c::sock_create_kern(
                &raw mut c::init_net,
                family,
                c::sock_type_SOCK_STREAM as c_int,
                c::IPPROTO_TCP as c_int,
                &mut raw,
            )
        })?;
        let sock = RawSocket {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
        };
        sock.setup(opts);
        Ok(sock)
    }

    fn setup(&self, opts: &SockOpts) {
        let clamp = |n: u32| c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: Live socket that nobody uses yet.
        unsafe {
            c::kg_sk_setup(
                self.raw.as_ptr(),
                clamp(opts.sndbuf),
                clamp(opts.rcvbuf),
                opts.interactive,
            );
        }
    }

    fn bind(&self, addr: &SockAddr) -> Result {
        let mut a = addr.encode();
        // SAFETY: Live socket, a complete address.
        to_result(unsafe { c::kernel_bind(self.raw.as_ptr(), a.as_mut_ptr(), a.len) })
    }

    pub(super) fn sk(&self) -> *mut c::sock {
        // SAFETY: Live socket; `sk` is set for its whole life.
        unsafe { (*self.raw.as_ptr()).sk }
    }

    fn shutdown(&self) {
        // SAFETY: Live socket.
        unsafe {
            c::kernel_sock_shutdown(self.raw.as_ptr(), c::sock_shutdown_cmd_SHUT_RDWR);
        }
    }
}

/// A listening socket.
pub(crate) struct Listener {
    sock: Deferred<RawSocket>,
    opts: SockOpts,
}

impl Listener {
    /// Listens on `addr` with a backlog of 5; accepted sockets get the same options. Context: task.
    ///
    /// Errors: `EADDRINUSE`, `EADDRNOTAVAIL`, ...
    pub(crate) fn bind(addr: &SockAddr, opts: &SockOpts) -> Result<Self> {
        let sock = RawSocket::new(addr.family(), opts)?;
        sock.bind(addr)?;
        // SAFETY: Bound socket.
        to_result(unsafe { c::kernel_listen(sock.raw.as_ptr(), 5) })?;
        Ok(Listener {
            sock: Deferred::new(sock)?,
            opts: *opts,
        })
    }

    /// Waits for a connection; `None` when none came in time. Context: task.
    ///
    /// One caller at a time. Errors: `EINVAL` after [`Self::shutdown`], `EINTR`.
    pub(crate) fn accept(&self, wait: RecvWait) -> Result<Option<Socket>> {
        let flags = match wait {
            RecvWait::Never => c::O_NONBLOCK as c_int,
            RecvWait::Forever | RecvWait::Ms(_) => 0,
        };
        let mut raw = core::ptr::null_mut();
        // SAFETY: Listening socket, valid out pointer.
        let rc = unsafe {
            c::kg_sk_set_rcvtimeo(self.sock.raw.as_ptr(), wait.jiffies());
            c::kernel_accept(self.sock.raw.as_ptr(), &mut raw, flags)
        };
        if rc == EAGAIN.to_errno() {
            return Ok(None);
        }
        to_result(rc)?;
        let sock = RawSocket {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
        };
        sock.setup(&self.opts);
        Ok(Some(Socket {
            sock: Deferred::new(sock)?,
        }))
    }

    /// Wakes a waiting [`Self::accept`] for good. Context: task.
    pub(crate) fn shutdown(&self) {
        self.sock.shutdown();
    }
}

/// A TCP socket; share it as `Arc<Socket>`. One sender and one receiver at a time, otherwise their
/// bytes mix. Dropping the last reference closes it.
pub(crate) struct Socket {
    pub(super) sock: Deferred<RawSocket>,
}

impl Socket {
    /// A socket of the family of `local`, bound to it (port 0: TCP chooses), not connected yet, so
    /// that another thread can shut it down while it connects. Context: task.
    pub(crate) fn create(local: &SockAddr, opts: &SockOpts) -> Result<Self> {
        let sock = RawSocket::new(local.family(), opts)?;
        sock.bind(local)?;
        Ok(Socket {
            sock: Deferred::new(sock)?,
        })
    }

    /// Connects within `timeout_ms`, unless `stop` says so before. Context: task. Errors: `EINTR`
    /// when stopped, `ETIMEDOUT`, `ECONNREFUSED`, `EHOSTUNREACH`, ...
    pub(crate) fn connect_to(
        &self,
        peer: &SockAddr,
        timeout_ms: u32,
        stop: &dyn Fn() -> bool,
    ) -> Result {
        let until = now_ms().saturating_add(u64::from(timeout_ms.max(1)));
        loop {
            if stop() {
                return Err(EINTR);
            }
            let left_ms = until.saturating_sub(now_ms()).min(UNHEARD_MS);
            match self.connect_for(peer, left_ms as u32) {
                Err(error) if error == EINPROGRESS || error == EALREADY => {}
                connected => return connected,
            }
            if now_ms() >= until {
                // TCP goes on in the background; the caller drops the socket.
                return Err(ETIMEDOUT);
            }
        }
    }

    /// Connects, or waits for a connection that has begun: `EINPROGRESS` or `EALREADY` when that
    /// takes longer than `wait_ms`.
    fn connect_for(&self, peer: &SockAddr, wait_ms: u32) -> Result {
        let mut a = peer.encode();
        let raw = self.raw();
        // SAFETY: Live socket, a complete address.
        to_result(unsafe {
            c::kg_sk_set_sndtimeo(raw, c::kg_ms_to_jiffies(wait_ms.max(1)));
            let rc = c::kernel_connect(raw, a.as_mut_ptr(), a.len, 0);
            c::kg_sk_set_sndtimeo(raw, c::MAX_SCHEDULE_TIMEOUT);
            rc
        })
    }

    /// [`Self::create`] and [`Self::connect_to`].
    pub(crate) fn connect(
        local: &SockAddr,
        peer: &SockAddr,
        opts: &SockOpts,
        timeout_ms: u32,
    ) -> Result<Self> {
        let sock = Socket::create(local, opts)?;
        sock.connect_to(peer, timeout_ms, &|| false)?;
        Ok(sock)
    }

    pub(super) fn raw(&self) -> *mut c::socket {
        self.sock.raw.as_ptr()
    }

    fn sk(&self) -> *mut c::sock {
        self.sock.sk()
    }

    /// Sends small packets at once. Context: task, as all setters.
    pub(crate) fn set_nodelay(&self) {
        // SAFETY: Live TCP socket.
        unsafe { c::tcp_sock_set_nodelay(self.sk()) };
    }

    /// Holds back partial segments until uncorked.
    pub(crate) fn set_cork(&self, on: bool) {
        // SAFETY: Live TCP socket.
        unsafe { c::tcp_sock_set_cork(self.sk(), on) };
    }

    /// Acknowledges what has arrived at once.
    pub(crate) fn set_quickack(&self) {
        // SAFETY: Live TCP socket. 2 is "now, without entering quick-ack mode".
        unsafe { c::tcp_sock_set_quickack(self.sk(), 2) };
    }

    /// Probes an idle connection after `idle_s` seconds, every `interval_s`, `count` times.
    pub(crate) fn set_keepalive(&self, idle_s: u32, interval_s: u32, count: u32) {
        // SAFETY: Live TCP socket; values out of range are refused by the callee.
        unsafe {
            c::kg_sk_keepalive(
                self.raw(),
                idle_s as c_int,
                interval_s as c_int,
                count as c_int,
            );
        }
    }

    /// Ends the connection when sent bytes stay unacknowledged for `ms`; 0 = system default.
    pub(crate) fn set_user_timeout(&self, ms: u32) {
        // SAFETY: Live TCP socket; values out of range are refused by the callee.
        unsafe { c::tcp_sock_set_user_timeout(self.sk(), ms as c_int) };
    }

    /// Interactive (meta connection) or bulk priority.
    pub(crate) fn set_interactive(&self, on: bool) {
        // SAFETY: Live socket.
        unsafe { c::kg_sk_set_interactive(self.raw(), on) };
    }

    /// How long a send may wait for room: then it returns what it could, or `EAGAIN`. 0 = forever.
    pub(crate) fn set_send_timeout(&self, ms: u32) {
        // SAFETY: Live socket.
        unsafe {
            let jiffies = if ms == 0 {
                c::MAX_SCHEDULE_TIMEOUT
            } else {
                c::kg_ms_to_jiffies(ms)
            };
            c::kg_sk_set_sndtimeo(self.raw(), jiffies);
        }
    }

    /// Ends both directions: sleepers wake up, receiving ends, sending gives `EPIPE`. What is
    /// queued is still delivered. From any thread; context: task.
    pub(crate) fn shutdown(&self) {
        self.sock.shutdown();
    }

    /// Ends the direction of sending: the other end sees it behind everything that was sent, and
    /// receiving goes on. Context: task.
    pub(crate) fn finish_sending(&self) {
        // SAFETY: Live socket.
        unsafe {
            c::kernel_sock_shutdown(self.raw(), c::sock_shutdown_cmd_SHUT_WR);
        }
    }

    /// Resets the connection and drops what is queued: afterwards TCP refers to no spliced page.
    /// From any thread; context: task.
    pub(crate) fn abort(&self) {
        // SAFETY: Live TCP socket. ENOENT: it is closed already.
        unsafe { c::kg_sk_abort(self.raw()) };
    }

    /// The other end's address. Errors: `ENOTCONN`.
    pub(crate) fn peer_addr(&self) -> Result<SockAddr> {
        let mut a = RawAddr::empty();
        // SAFETY: Live socket, room for either family.
        to_result(unsafe { c::kernel_getpeername(self.raw(), a.as_mut_ptr()) })?;
        a.decode().ok_or(EINVAL)
    }

    /// Our own address.
    pub(crate) fn local_addr(&self) -> Result<SockAddr> {
        let mut a = RawAddr::empty();
        // SAFETY: Live socket, room for either family.
        to_result(unsafe { c::kernel_getsockname(self.raw(), a.as_mut_ptr()) })?;
        a.decode().ok_or(EINVAL)
    }

    /// Bytes of send buffer in use, overhead included. Context: any.
    pub(crate) fn wmem_queued(&self) -> u32 {
        // SAFETY: Live socket.
        u32::try_from(unsafe { c::kg_sk_wmem_queued(self.raw()) }).unwrap_or(0)
    }

    /// Size of the send buffer. Context: any.
    pub(crate) fn sndbuf(&self) -> u32 {
        // SAFETY: Live socket.
        u32::try_from(unsafe { c::kg_sk_sndbuf(self.raw()) }).unwrap_or(0)
    }

    /// True while the connection is established, as far as TCP knows. Context: any.
    pub(crate) fn is_established(&self) -> bool {
        // SAFETY: Live socket.
        unsafe { c::kg_sk_established(self.raw()) }
    }
}

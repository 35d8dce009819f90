// SPDX-License-Identifier: GPL-2.0-or-later
//! TCP over the loopback interface.

use super::check;
use crate::os::{
    addr::SockAddr,
    kthread::KThread,
    lock::Arc,
    pages::PagePool,
    recv::{RecvError, RecvWait},
    socket::{Listener, PageMode, SendFlags, SockOpts, Socket},
    timer::{now_ms, sleep_ms},
};
use kernel::prelude::*;

const PORT: u16 = 17789;
const V4: SockAddr = SockAddr::V4 {
    ip: [127, 0, 0, 1],
    port: PORT,
};
const V6: SockAddr = SockAddr::V6 {
    ip: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    port: PORT,
    scope: 0,
};

/// A connected pair over loopback.
pub(super) fn pair(addr: SockAddr, opts: &SockOpts) -> Result<(Socket, Socket)> {
    let listener = Listener::bind(&addr, opts)?;
    let a = Socket::connect(&addr.with_port(0), &addr, opts, 2_000)?;
    let b = listener.accept(RecvWait::Ms(2_000))?.ok_or(ETIMEDOUT)?;
    a.set_nodelay();
    b.set_nodelay();
    Ok((a, b))
}

fn basics() -> Result {
    let opts = SockOpts {
        sndbuf: 0,
        rcvbuf: 0,
        interactive: true,
    };
    let listener = Listener::bind(&V4, &opts)?;
    let begin = now_ms();
    check(
        listener.accept(RecvWait::Ms(100))?.is_none(),
        "accept times out",
    )?;
    check(now_ms().wrapping_sub(begin) >= 90, "accept waited")?;
    check(
        listener.accept(RecvWait::Never)?.is_none(),
        "accept without waiting",
    )?;
    let listener = Arc::new(listener, GFP_KERNEL)?;
    let l = listener.clone();
    let waiting = KThread::spawn(c"drbd_st_accept", move |_| {
        let ended = l.accept(RecvWait::Forever).is_err();
        let _ = check(ended, "shutdown ends a waiting accept");
    })?;
    sleep_ms(50);
    listener.shutdown();
    waiting.join();
    drop(listener);
    let refused = Socket::connect(&V4.with_port(0), &V4.with_port(9), &opts, 2_000);
    check(refused.err() == Some(ECONNREFUSED), "connection refused")
}

fn transfer(addr: SockAddr) -> Result {
    let opts = SockOpts::default();
    let (a, b) = pair(addr, &opts)?;
    check(
        a.is_established() && a.alive() && b.alive(),
        "pair is alive",
    )?;
    check(
        b.peer_addr()?.same_host(&addr) && a.peer_addr()? == addr,
        "peer addresses",
    )?;
    check(
        a.local_addr()?.port() == b.peer_addr()?.port(),
        "local address",
    )?;
    a.set_keepalive(10, 3, 4);
    a.set_quickack();
    a.set_cork(true);
    a.set_cork(false);
    a.set_user_timeout(30_000);
    a.set_interactive(false);

    let mut buf = [0u8; 16];
    let mut got = 0;
    let timed_out = b.recv_exact(&mut buf, &mut got, RecvWait::Ms(50));
    check(
        timed_out == Err(RecvError::TimedOut) && got == 0,
        "receive times out",
    )?;
    check(
        b.recv(&mut buf, RecvWait::Never) == Err(RecvError::TimedOut),
        "nothing to receive",
    )?;
    let mut sent = 0;
    a.send_all(b"01234567", &mut sent, SendFlags::NONE)?;
    let partial = b.recv_exact(&mut buf, &mut got, RecvWait::Ms(50));
    check(
        partial == Err(RecvError::TimedOut) && got == 8,
        "a partial receive is kept",
    )?;
    let mut sent = 0;
    a.send_all(b"89abcdef", &mut sent, SendFlags::NONE)?;
    b.recv_exact(&mut buf, &mut got, RecvWait::Ms(2_000))
        .map_err(|_| EIO)?;
    check(
        &buf == b"0123456789abcdef",
        "a receive goes on where it stopped",
    )?;

    // 1 MiB and a header, spliced and copied.
    let pool = PagePool::new(0)?;
    let mut payload = pool.alloc(1 << 20)?;
    for (i, chunk) in payload.chunks_mut().enumerate() {
        for (j, byte) in chunk.iter_mut().enumerate() {
            *byte = (i.wrapping_mul(31) ^ j ^ (j >> 8)) as u8;
        }
    }
    let crc = payload.crc32c();
    let a = Arc::new(a, GFP_KERNEL)?;
    for mode in [PageMode::Splice, PageMode::Copy] {
        let a = a.clone();
        let p = pool.alloc(1 << 20)?;
        let mut copy = p;
        let mut at = 0;
        for chunk in payload.chunks() {
            copy.copy_in(at, chunk)?;
            at = at.saturating_add(chunk.len());
        }
        let sender = KThread::spawn(c"drbd_st_send", move |_| {
            let run = || -> Result {
                let mut sent = 0;
                a.send_all(b"header 16 bytes!", &mut sent, SendFlags::MORE)?;
                let mut from = 0;
                while from < copy.len() {
                    let n = a.send_payload(&copy, from, mode, SendFlags::NONE)?;
                    from = from.saturating_add(n);
                }
                Ok(())
            };
            let _ = check(run().is_ok(), "payload sent");
        })?;
        let mut got = 0;
        b.recv_exact(&mut buf, &mut got, RecvWait::Ms(5_000))
            .map_err(|_| EIO)?;
        check(&buf == b"header 16 bytes!", "header before the payload")?;
        let mut into = pool.alloc(1 << 20)?;
        let mut got = 0;
        b.recv_payload(&mut into, &mut got, RecvWait::Ms(20_000))
            .map_err(|_| EIO)?;
        check(into.crc32c() == crc, "payload arrives unchanged")?;
        sender.join();
    }

    // Fill the send buffer without waiting, then let the peer drain it.
    let mut queued = 0usize;
    loop {
        match a.send_payload(&payload, 0, PageMode::Splice, SendFlags::NOWAIT) {
            Ok(n) => queued = queued.saturating_add(n),
            Err(e) if e == EAGAIN => break,
            Err(e) => return Err(e),
        }
    }
    check(
        queued > 0 && a.wmem_queued() > 0,
        "a full send buffer does not block",
    )?;
    a.set_send_timeout(100);
    let mut begin;
    loop {
        begin = now_ms();
        match a.send_payload(&payload, 0, PageMode::Splice, SendFlags::NONE) {
            Ok(n) => queued = queued.saturating_add(n),
            Err(e) => break check(e == EAGAIN, "a send times out")?,
        }
    }
    check(now_ms().wrapping_sub(begin) >= 80, "the send waited")?;
    b.recv_discard(queued, RecvWait::Ms(20_000))
        .map_err(|_| EIO)?;
    check(!b.readable(), "everything drained")?;

    // Spliced pages stay with TCP; after an abort nobody refers to them.
    let _ = a.send_payload(&payload, 0, PageMode::Splice, SendFlags::NOWAIT)?;
    drop(payload);
    a.abort();
    check(
        a.wmem_queued() == 0 && !a.is_established(),
        "abort drops the queue",
    )?;
    let rest = loop {
        match b.recv(&mut buf, RecvWait::Ms(2_000)) {
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    check(
        rest == RecvError::Failed(ECONNRESET),
        "the peer sees a reset",
    )?;
    check(
        a.send(b"x", SendFlags::NONE).is_err(),
        "sending after an abort fails",
    )?;
    drop((a, b));
    check(pool.in_use_pages() == 0, "all payloads came back")
}

fn shutdown() -> Result {
    let (a, b) = pair(V4, &SockOpts::default())?;
    let b = Arc::new(b, GFP_KERNEL)?;
    let receiver = b.clone();
    let thread = KThread::spawn(c"drbd_st_recv", move |_| {
        let mut buf = [0; 4];
        let ended = receiver.recv(&mut buf, RecvWait::Forever);
        let _ = check(
            ended == Err(RecvError::Closed),
            "shutdown ends a waiting receive",
        );
        let broken = receiver.send(b"x", SendFlags::NONE).err();
        let _ = check(broken == Some(EPIPE), "sending after a shutdown fails");
    })?;
    sleep_ms(50);
    b.shutdown();
    thread.join();
    sleep_ms(20);
    check(!a.alive(), "the peer sees the end")
}

/// A peer that says nothing, for its queue of connections is full.
fn unheard() -> Result {
    let opts = SockOpts::default();
    let _listener = Listener::bind(&V4, &opts)?;
    let mut queue = KVec::new();
    while let Ok(socket) = Socket::connect(&V4.with_port(0), &V4, &opts, 300) {
        queue.push(socket, GFP_KERNEL)?;
        check(queue.len() < 20, "a full queue hears nobody")?;
    }
    let socket = Socket::create(&V4.with_port(0), &opts)?;
    socket.shutdown();
    let begin = now_ms();
    let after = |ms: u64| now_ms().wrapping_sub(begin) > ms;
    let stopped = socket.connect_to(&V4, 20_000, &|| after(100));
    check(stopped == Err(EINTR), "a connect is stopped")?;
    check(!after(5_000), "also when its socket was shut down before")?;
    let ended = Socket::create(&V4.with_port(0), &opts)?.connect_to(&V4, 600, &|| false);
    check(ended == Err(ETIMEDOUT) && after(600), "nobody is heard for 600 ms")
}

pub(super) fn run() -> Result {
    let mut raw = [0u8; 28];
    for (to, from) in raw.iter_mut().zip([2, 0, 0x1e, 0x6d, 10, 0, 0, 1]) {
        *to = from;
    }
    let expected = SockAddr::V4 {
        ip: [10, 0, 0, 1],
        port: 7789,
    };
    check(
        SockAddr::from_sockaddr(&raw) == Some(expected),
        "sockaddr_in decoded",
    )?;
    check(
        SockAddr::from_sockaddr(&[9, 9, 9]).is_none(),
        "other families refused",
    )?;
    basics()?;
    transfer(V4)?;
    transfer(V6)?;
    shutdown()?;
    unheard()
}

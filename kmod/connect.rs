// SPDX-License-Identifier: GPL-2.0-or-later
//! From no connection to two agreed sockets (wire-protocol sections 1 and 5).

use crate::{
    conf::{policy, protocol_of},
    connection::Connection,
    os::{
        addr::SockAddr,
        kthread::Ctl,
        lock::Arc,
        random,
        recv::{RecvError, RecvWait},
        socket::{Listener, SendFlags, SockOpts, Socket},
        timer::now_ms,
    },
};
use drbd_core::{
    config::NetOptions,
    engine::{
        rendezvous::{Rendezvous, Timing, Which},
        volume::End,
    },
    state::Conn,
    wire::{
        alg_name::AlgName,
        command::Command,
        dialect::{Dialect, Features},
        dispatch,
        handshake::{ConnFlags, ConnectionFeatures, Protocol},
        header::Header,
        packet::Packet,
        Stage, MAX_FIXED, MAX_FRAME,
    },
};
use kernel::prelude::*;

/// Two fresh sockets.
pub(crate) struct Pair {
    pub(crate) data: Arc<Socket>,
    pub(crate) meta: Arc<Socket>,
    /// This node accepted the meta connection.
    pub(crate) resolve_conflicts: bool,
}

/// The sockets of a [`Rendezvous`]: it decides, here is what it decides about.
struct Attempt<'a> {
    connection: &'a Connection,
    rendezvous: Rendezvous,
    data: Option<Arc<Socket>>,
    meta: Option<Arc<Socket>>,
    timing: Timing,
    net: &'a NetOptions,
    stop: &'a dyn Fn() -> bool,
}

/// A listener that [`Connection::end`] shuts down, so that nobody has to look again and again
/// whether to go on waiting.
struct Listening<'a> {
    connection: &'a Connection,
    listener: Arc<Listener>,
}

impl<'a> Listening<'a> {
    fn new(connection: &'a Connection, listener: Arc<Listener>) -> Self {
        connection.set_listening(Some(listener.clone()));
        Listening {
            connection,
            listener,
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.connection.set_listening(None);
    }
}

fn end(conn: Conn, why: &'static str) -> End {
    End { conn, why }
}

/// The features that this module offers.
fn features(net: &NetOptions) -> Features {
    let features = Features::TRIM
        .union(Features::WSAME)
        .union(Features::THIN_RESYNC);
    if net.integrity_alg.is_empty() {
        features.union(Features::WZEROES)
    } else {
        // The stock driver takes a P_ZEROES for one without the digest that none has, and drops
        // the connection (wire-protocol section 6.4).
        features
    }
}

/// Connects both sockets, however long it takes. `Err` when asked to stop, or when an address
/// cannot be used. Context: the connection's thread.
pub(crate) fn establish(connection: &Connection, ctl: &Ctl) -> Result<Pair, End> {
    let stopped = end(Conn::Disconnecting, "asked to disconnect");
    let (local, peer) = {
        let conf = connection.conf.lock();
        let path = conf
            .paths
            .first()
            .ok_or(end(Conn::Disconnecting, "no path"))?;
        (path.local, path.peer)
    };
    let net = connection.net();
    let options = SockOpts {
        sndbuf: net.sndbuf_size,
        rcvbuf: net.rcvbuf_size,
        interactive: false,
    };
    let stop = || ctl.should_stop() || !connection.wanted() || connection.ending().is_some();
    let bound = loop {
        if stop() {
            return Err(connection.ending().unwrap_or(stopped));
        }
        match Listener::bind(&local, &options) {
            Ok(bound) => break bound,
            // An address that is not up yet, or a port that an old socket still holds.
            Err(_) => ctl.sleep_ms(500),
        }
    };
    let Ok(bound) = Arc::new(bound, GFP_KERNEL) else {
        return Err(end(Conn::NetworkFailure, "out of memory"));
    };
    // Before the first look at `stop`: whoever sets it then finds the listener.
    let listening = Listening::new(connection, bound);
    let mut attempt = Attempt {
        connection,
        rendezvous: Rendezvous::new(local < peer),
        data: None,
        meta: None,
        timing: timing(&net),
        net: &net,
        stop: &stop,
    };
    loop {
        if stop() {
            return Err(connection.ending().unwrap_or(stopped));
        }
        attempt.drop_dead();
        if let Some(which) = attempt.rendezvous.missing() {
            if let Some(socket) = attempt.connect_once(&local, &peer, &options) {
                attempt.connected(which, socket);
            }
        }
        attempt.wait_for_peer(&listening.listener);
        attempt.drop_dead();
        let resolve_conflicts = attempt.rendezvous.resolves_conflicts();
        match (&attempt.data, &attempt.meta) {
            (Some(data), Some(meta)) if !stop() => {
                meta.set_interactive(true);
                return Ok(Pair {
                    data: data.clone(),
                    meta: meta.clone(),
                    resolve_conflicts,
                });
            }
            (_, _) => {}
        }
    }
}

fn timing(net: &NetOptions) -> Timing {
    let check_ds = if net.sock_check_timeo == 0 {
        net.ping_timeo
    } else {
        net.sock_check_timeo
    };
    Timing {
        connect_int_ms: net.connect_int.saturating_mul(1000),
        check_ms: check_ds.saturating_mul(100),
    }
}

impl Attempt<'_> {
    fn place(&mut self, which: Which) -> &mut Option<Arc<Socket>> {
        match which {
            Which::Data => &mut self.data,
            Which::Meta => &mut self.meta,
        }
    }

    /// One try to reach the peer, which a disconnect interrupts.
    fn connect_once(
        &self,
        local: &SockAddr,
        peer: &SockAddr,
        options: &SockOpts,
    ) -> Option<Arc<Socket>> {
        let socket = Socket::create(&local.with_port(0), options).ok()?;
        let socket = Arc::new(socket, GFP_KERNEL).ok()?;
        self.connection.set_connecting(Some(socket.clone()));
        let connected = socket.connect_to(peer, self.timing.connect_int_ms, self.stop);
        self.connection.set_connecting(None);
        connected.ok().map(|()| socket)
    }

    /// We connected; the first packet says what for.
    fn connected(&mut self, which: Which, socket: Arc<Socket>) {
        let packet = match which {
            Which::Data => Packet::InitialData,
            Which::Meta => Packet::InitialMeta,
        };
        if send_packet(&socket, Dialect::INITIAL, packet, &[]) {
            self.rendezvous.connected(which);
            *self.place(which) = Some(socket);
        }
    }

    fn drop_dead(&mut self) {
        for which in [Which::Data, Which::Meta] {
            let place = self.place(which);
            if place.as_ref().is_some_and(|socket| !socket.alive()) {
                *place = None;
                self.rendezvous.lost(which);
            }
        }
    }

    /// Waits for the peer to connect, as long as the rendezvous says; ends early when there is
    /// something to be done from this side.
    fn wait_for_peer(&mut self, listener: &Listener) {
        let end_of_wait = |attempt: &Self| {
            let wait_ms = attempt.rendezvous.wait_ms(&attempt.timing, random::u32());
            now_ms().saturating_add(u64::from(wait_ms))
        };
        let mut until = end_of_wait(self);
        while !(self.stop)() {
            let left_ms = until.saturating_sub(now_ms());
            if left_ms == 0 {
                return;
            }
            let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
            match listener.accept(RecvWait::Ms(left_ms)) {
                Ok(Some(socket)) => {
                    if self.accepted(socket) {
                        if self.rendezvous.missing().is_some() {
                            return;
                        }
                        until = end_of_wait(self);
                    }
                }
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    /// The peer connected: its first packet says which socket it is. True when it is one of the
    /// pair now.
    fn accepted(&mut self, socket: Socket) -> bool {
        let Ok(socket) = Arc::new(socket, GFP_KERNEL) else {
            return false;
        };
        self.connection.set_connecting(Some(socket.clone()));
        let wait = RecvWait::Ms(self.net.ping_timeo.saturating_mul(400));
        // An end that found no socket to shut down.
        let first = match (self.stop)() {
            true => None,
            false => first_packet(&socket, wait),
        };
        self.connection.set_connecting(None);
        let which = match first {
            Some(Command::InitialData) => Which::Data,
            Some(Command::InitialMeta) => Which::Meta,
            Some(_) | None => return false,
        };
        self.drop_dead();
        // One that its maker has given up meanwhile must not displace a good one.
        if !socket.alive() {
            return false;
        }
        let take = self.rendezvous.accepted(which, random::u32());
        if take {
            *self.place(which) = Some(socket);
        }
        take
    }
}

fn first_packet(socket: &Socket, wait: RecvWait) -> Option<Command> {
    let dialect = Dialect::INITIAL;
    let mut bytes = [0u8; 16];
    let bytes = bytes.get_mut(..dialect.header_len())?;
    let mut got = 0;
    socket.recv_exact(bytes, &mut got, wait).ok()?;
    let header = Header::decode(dialect, bytes).ok()?;
    Some(dispatch(dialect, Stage::First, &header).ok()?.command)
}

/// Sends a packet without bulk data; false on failure. Context: task.
pub(crate) fn send_packet(
    socket: &Socket,
    dialect: Dialect,
    packet: Packet,
    payload: &[u8],
) -> bool {
    let mut frame = [0u8; MAX_FRAME];
    let payload_len = u32::try_from(payload.len()).unwrap_or(0);
    let Ok(len) = packet.encode_frame(dialect, 0, payload_len, &mut frame) else {
        return false;
    };
    let Some(frame) = frame.get(..len) else {
        return false;
    };
    let mut sent = 0;
    if payload.is_empty() {
        return socket.send_all(frame, &mut sent, SendFlags::NONE).is_ok();
    }
    if socket.send_all(frame, &mut sent, SendFlags::MORE).is_err() {
        return false;
    }
    let mut sent = 0;
    socket.send_all(payload, &mut sent, SendFlags::NONE).is_ok()
}

/// Socket timeouts during the handshake, and after it (wire-protocol sections 5 and 10).
pub(crate) fn set_timeouts(data: &Socket, meta: &Socket, net: &NetOptions, handshake: bool) {
    let ms = if handshake {
        net.ping_timeo.saturating_mul(400)
    } else {
        net.timeout.saturating_mul(100)
    };
    for socket in [data, meta] {
        socket.set_nodelay();
        socket.set_send_timeout(ms);
    }
}

/// Exchanges P_CONNECTION_FEATURES. Context: the connection's thread.
pub(crate) fn agree_on_features(connection: &Connection, data: &Socket) -> Result<Dialect, End> {
    let retry = |why| end(Conn::NetworkFailure, why);
    let refuse = |why| end(Conn::Disconnecting, why);
    let net = connection.net();
    let own = ConnectionFeatures::own(features(&net));
    if !send_packet(data, Dialect::INITIAL, Packet::ConnectionFeatures(own), &[]) {
        return Err(retry("could not send the features"));
    }
    let wait = RecvWait::Ms(net.ping_timeo.saturating_mul(400));
    let dialect = Dialect::INITIAL;
    let mut bytes = [0u8; MAX_FIXED];
    let mut receive = |len: usize| -> Result<[u8; MAX_FIXED], End> {
        let room = bytes.get_mut(..len).ok_or(refuse("an oversized packet"))?;
        let mut got = 0;
        match data.recv_exact(room, &mut got, wait) {
            Ok(()) => Ok(bytes),
            Err(RecvError::TimedOut) => Err(retry("no features from the peer in time")),
            Err(_) => Err(retry("connection lost before the features arrived")),
        }
    };
    let head = receive(dialect.header_len())?;
    let header = Header::decode(dialect, head.get(..dialect.header_len()).unwrap_or(&[]))
        .map_err(|_| refuse("expected the peer's features, got something else"))?;
    let frame = dispatch(dialect, Stage::Features, &header)
        .map_err(|_| refuse("expected the peer's features, got something else"))?;
    let body = receive(frame.fixed_len)?;
    let packet = Packet::decode(dialect, &frame, body.get(..frame.fixed_len).unwrap_or(&[]))
        .map_err(|_| refuse("malformed features"))?;
    match packet {
        Packet::ConnectionFeatures(peer) => Dialect::negotiate(&own, &peer)
            .map_err(|_| refuse("no protocol version in common with the peer")),
        _ => Err(refuse("expected the peer's features, got something else")),
    }
}

/// Our P_PROTOCOL. Context: any.
pub(crate) fn own_protocol(net: &NetOptions, discard: bool, dry_run: bool) -> Protocol {
    let mut conn_flags = ConnFlags::NONE;
    if discard {
        conn_flags = conn_flags.union(ConnFlags::DISCARD_MY_DATA);
    }
    if dry_run {
        conn_flags = conn_flags.union(ConnFlags::DRY_RUN);
    }
    Protocol {
        protocol: protocol_of(net),
        after_sb_0p: policy(net.after_sb_0p.number()),
        after_sb_1p: policy(net.after_sb_1p.number()),
        after_sb_2p: policy(net.after_sb_2p.number()),
        conn_flags,
        two_primaries: net.two_primaries,
        // Judged when it was set.
        integrity_alg: AlgName::new(net.integrity_alg.as_str().as_bytes())
            .unwrap_or(AlgName::EMPTY),
    }
}

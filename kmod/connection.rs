// SPDX-License-Identifier: GPL-2.0-or-later
//! The connection to a peer: configuration, state, and the thread that keeps it up.
//!
//! One thread per connection connects, agrees with the peer, receives, and cleans up after the
//! connection ended, over and over until the administrator or a disagreement ends it for good
//! (wire-protocol section 11). Three more live as long as an established connection: the sender,
//! the meta sender and the meta receiver.

use crate::{
    authenticate,
    conf::{protocol_of, Conf},
    connect,
    crypto::Algorithms,
    device::Device,
    fence::{self, Fencer},
    liveness::Liveness,
    meta_receiver,
    os::{
        cpus::Crew,
        kthread::{Ctl, KThread},
        lock::{new_mutex, new_spinlock_irq, Arc, Atomic, Mutex, Relaxed, SpinLockIrq},
        random,
        socket::{Listener, Socket},
        wait::WaitQueue,
    },
    parting,
    queues::Queues,
    receiver,
    resource::{Label, Resource},
    sender,
};
use drbd_core::{
    config::{NetOptions, PeerDeviceOptions, Text},
    engine::{
        send_queue::SendItem,
        volume::{End, PeerOptions},
    },
    state::{Conn, Role},
    wire::{dialect::Dialect, handshake::ReplicationProtocol},
};
use kernel::{prelude::*, str::CString};

/// What the state lock protects.
struct Shared {
    cstate: Conn,
    /// The administrator wants it up.
    wanted: bool,
    /// Why the current connection ends.
    end: Option<End>,
    /// The sockets of the current connection.
    data: Option<Arc<Socket>>,
    meta: Option<Arc<Socket>>,
    /// Answer to our P_CONN_ST_CHG_REQ.
    reply: Option<i32>,
    discard_my_data: bool,
    dry_run: bool,
    /// The socket of an attempt to connect.
    connecting: Option<Arc<Socket>>,
    /// Where an attempt to connect waits for the peer.
    listening: Option<Arc<Listener>>,
    /// Both sockets are up and the handshake has begun.
    established: bool,
}

/// A connection.
#[pin_data]
pub(crate) struct Connection {
    /// Node id of the peer.
    pub(crate) peer_node_id: u32,
    #[pin]
    resource: Mutex<Option<Arc<Resource>>>,
    /// Outgoing queues.
    pub(crate) queues: Arc<Queues>,
    #[pin]
    pub(crate) conf: Mutex<Conf>,
    /// Counts changes of `conf`.
    conf_version: Atomic<u32>,
    /// Whether `Shared::end` is set: looked at with every packet.
    ended: Atomic<bool>,
    #[pin]
    shared: SpinLockIrq<Shared>,
    /// The state changed.
    #[pin]
    pub(crate) changed: WaitQueue,
    #[pin]
    thread: Mutex<Option<KThread>>,
    pub(crate) liveness: Liveness,
    pub(crate) fencer: Fencer,
}

impl Connection {
    /// A StandAlone connection. Context: task.
    pub(crate) fn new(
        resource: &Arc<Resource>,
        peer_node_id: u32,
        net: NetOptions,
        algorithms: Algorithms,
    ) -> Result<Arc<Self>> {
        let conf = Conf {
            net,
            algorithms,
            paths: KVec::new(),
            peer_devices: KVec::new(),
        };
        let queues = Queues::new()?;
        let resource = resource.clone();
        Arc::pin_init(
            pin_init!(Connection {
                peer_node_id,
                resource <- new_mutex!(Some(resource), "drbd_conn_res"),
                queues,
                conf <- new_mutex!(conf, "drbd_conf"),
                conf_version: Atomic::new(0),
                ended: Atomic::new(false),
                shared <- new_spinlock_irq!(
                    Shared {
                        cstate: Conn::StandAlone,
                        wanted: false,
                        end: None,
                        data: None,
                        meta: None,
                        reply: None,
                        discard_my_data: false,
                        dry_run: false,
                        connecting: None,
                        listening: None,
                        established: false,
                    },
                    "drbd_conn"
                ),
                changed <- WaitQueue::new(),
                thread <- new_mutex!(None, "drbd_conn_thread"),
                liveness: Liveness::new(),
                fencer: Fencer::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The resource; `None` after the connection was deleted. Context: task.
    pub(crate) fn resource(&self) -> Option<Arc<Resource>> {
        self.resource.lock().clone()
    }

    /// Breaks the circle of references when the connection is deleted. Context: task.
    pub(crate) fn detach_from_resource(&self) {
        let resource = self.resource.lock().take();
        drop(resource);
    }

    /// Where its threads run. Errors: `ENODEV` after the connection was deleted. Context: task.
    fn crew(&self) -> Result<Arc<Crew>> {
        let resource = self.resource().ok_or(ENODEV)?;
        Ok(resource.crew.clone())
    }

    /// Name of the resource, for messages. Context: task.
    pub(crate) fn label(&self) -> Label {
        Label::new(self.resource())
    }

    /// The volumes. Context: task.
    pub(crate) fn devices(&self) -> KVec<Arc<Device>> {
        let resource = self.resource();
        resource
            .and_then(|resource| resource.devices().ok())
            .unwrap_or_default()
    }

    /// Whether the current connection ends: [`Self::ending`] says why. Context: any.
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// A copy of the net options. Context: task.
    pub(crate) fn net(&self) -> NetOptions {
        self.conf.lock().net
    }

    /// Changes with every change of the options. Context: any.
    pub(crate) fn conf_version(&self) -> u32 {
        self.conf_version.load(Relaxed)
    }

    /// Tells the senders to look at the options again. Context: any.
    pub(crate) fn conf_changed(&self) {
        let _ = self.conf_version.fetch_add(1, Relaxed);
    }

    /// Name of the connection. Context: task.
    pub(crate) fn name(&self) -> Text<64> {
        self.conf.lock().net.name
    }

    /// Options of volume `number` towards this peer. Context: task.
    pub(crate) fn peer_device_options(&self, number: u16) -> PeerDeviceOptions {
        self.conf.lock().peer_device(number)
    }

    /// Connection state. Context: any.
    pub(crate) fn cstate(&self) -> Conn {
        self.shared.lock().cstate
    }

    /// Whether both sockets are up and the handshake is done. Context: any.
    pub(crate) fn is_established(&self) -> bool {
        self.shared.lock().established
    }

    fn set_cstate(&self, cstate: Conn) {
        {
            let mut shared = self.shared.lock();
            shared.cstate = cstate;
            shared.established = cstate >= Conn::WfReportParams;
        }
        self.changed.wake_all();
        if let Some(resource) = self.resource() {
            resource.notifier.connection_changed(&resource, self);
        }
    }

    /// Role of the peer, the highest of its volumes. Context: task.
    pub(crate) fn peer_role(&self) -> Role {
        if !self.is_established() {
            return Role::Unknown;
        }
        self.devices().iter().fold(Role::Unknown, |role, device| {
            drbd_core::state::summary::higher_role(role, device.state().peer)
        })
    }

    /// Whether a volume's handshake is not over. Context: task.
    pub(crate) fn in_handshake(&self) -> bool {
        let agreeing = |device: &Arc<Device>| device.state().conn == Conn::WfReportParams;
        self.devices().iter().any(agreeing)
    }

    /// Whether the connection should be kept up. Context: any.
    pub(crate) fn wanted(&self) -> bool {
        self.shared.lock().wanted
    }

    /// One-shot wishes of the next handshake. Context: any.
    pub(crate) fn one_shot(&self) -> (bool, bool) {
        let shared = self.shared.lock();
        (shared.discard_my_data, shared.dry_run)
    }

    /// The handshake used them. Context: any.
    pub(crate) fn clear_one_shot(&self) {
        let mut shared = self.shared.lock();
        shared.discard_my_data = false;
        shared.dry_run = false;
    }

    /// A dry run was made; the next attempt is in earnest. Context: any.
    pub(crate) fn clear_dry_run(&self) {
        self.shared.lock().dry_run = false;
    }

    /// Whether the current connection is to end. Context: any.
    pub(crate) fn ending(&self) -> Option<End> {
        self.shared.lock().end
    }

    fn set_end(&self, shared: &mut Shared, end: Option<End>) {
        shared.end = end;
        self.ended.store(end.is_some(), Relaxed);
    }

    /// Ends the current connection; the first reason counts. Context: task.
    pub(crate) fn end(&self, end: End) {
        let (sockets, listening) = {
            let mut shared = self.shared.lock();
            match shared.end {
                // Being asked to stay away outranks a failure.
                Some(old) if old.conn == Conn::Disconnecting || end.conn != Conn::Disconnecting => {
                }
                Some(_) | None => self.set_end(&mut shared, Some(end)),
            }
            let sockets = [&shared.data, &shared.meta, &shared.connecting];
            (sockets.map(Clone::clone), shared.listening.clone())
        };
        for socket in sockets.into_iter().flatten() {
            socket.shutdown();
        }
        if let Some(listener) = listening {
            listener.shutdown();
        }
        self.queues.wake();
        self.changed.wake_all();
    }

    /// Reports the peer's answer to P_CONN_ST_CHG_REQ. Context: any.
    pub(crate) fn answered(&self, code: i32) {
        self.shared.lock().reply = Some(code);
        self.changed.wake_all();
    }

    /// Takes that answer. Context: any.
    pub(crate) fn take_answer(&self) -> Option<i32> {
        self.shared.lock().reply.take()
    }

    /// The socket that an attempt to connect blocks on; dropped outside of the lock.
    pub(crate) fn set_connecting(&self, socket: Option<Arc<Socket>>) {
        let old = core::mem::replace(&mut self.shared.lock().connecting, socket);
        drop(old);
    }

    /// The listener that an attempt to connect waits on; dropped outside of the lock.
    pub(crate) fn set_listening(&self, listener: Option<Arc<Listener>>) {
        let old = core::mem::replace(&mut self.shared.lock().listening, listener);
        drop(old);
    }

    /// Starts to connect: StandAlone to Unconnected. Context: task, `admin` held.
    pub(crate) fn start(self: &Arc<Self>, discard_my_data: bool, dry_run: bool) -> Result {
        let mut thread = self.thread.lock();
        // The thread of an earlier connection has ended, or is about to.
        drop(thread.take());
        {
            let mut shared = self.shared.lock();
            shared.wanted = true;
            self.set_end(&mut shared, None);
            shared.discard_my_data = discard_my_data;
            shared.dry_run = dry_run;
        }
        let connection = self.clone();
        let crew = self.crew()?;
        let name = CString::try_from_fmt(fmt!("drbd_r_{}", self.label().as_str()))?;
        self.enter(Conn::Unconnected);
        match KThread::spawn_in(&crew, &name, move |ctl| connection.run(ctl)) {
            Ok(spawned) => {
                *thread = Some(spawned);
                Ok(())
            }
            Err(error) => {
                self.enter(Conn::StandAlone);
                Err(error)
            }
        }
    }

    /// Ends the connection for good and waits until it is StandAlone. Context: task.
    pub(crate) fn stop(&self, why: &'static str) {
        self.shared.lock().wanted = false;
        self.end(End {
            conn: Conn::Disconnecting,
            why,
        });
        let thread = self.thread.lock().take();
        drop(thread); // joins
    }

    /// Sets the state of connection and volumes, as a fact. Context: task.
    pub(crate) fn enter(&self, conn: Conn) {
        for device in self.devices().iter() {
            device.with(|inner, link, now| inner.volume.set_conn(conn, link, now));
        }
        self.set_cstate(conn);
    }

    fn run(self: Arc<Self>, ctl: &Ctl) {
        let label = self.label();
        let label = label.as_str();
        loop {
            self.enter(Conn::Unconnected);
            let end = self.shared_end_if_unwanted();
            self.set_end(&mut self.shared.lock(), end);
            if ctl.should_stop() || !self.wanted() {
                break;
            }
            self.enter(Conn::WfConnection);
            let outcome = self.attempt(ctl, label);
            let gone = match outcome {
                Ok(()) => End {
                    conn: Conn::NetworkFailure,
                    why: "connection closed",
                },
                Err(end) => end,
            };
            // What others saw first explains better why the sockets broke.
            let end = self.ending().unwrap_or(gone);
            pr_info!(
                "{}: connection ends ({}): {}\n",
                label,
                end.conn.name(),
                end.why
            );
            self.tear_down(end.conn);
            if end.conn == Conn::Disconnecting || !self.wanted() {
                break;
            }
            ctl.sleep_ms(if end.conn == Conn::Unconnected {
                1000
            } else {
                200
            });
        }
        self.shared.lock().wanted = false;
        self.enter(Conn::Disconnecting);
        self.enter(Conn::StandAlone);
        for device in self.devices().iter() {
            device.inner.lock().queues = None;
        }
    }

    fn shared_end_if_unwanted(&self) -> Option<End> {
        let stop = End {
            conn: Conn::Disconnecting,
            why: "asked to disconnect",
        };
        (!self.wanted()).then_some(stop)
    }

    /// One connection from the first packet to the last.
    fn attempt(self: &Arc<Self>, ctl: &Ctl, label: &str) -> Result<(), End> {
        let pair = connect::establish(self, ctl)?;
        let (data, meta) = (pair.data, pair.meta);
        {
            let mut shared = self.shared.lock();
            shared.data = Some(data.clone());
            shared.meta = Some(meta.clone());
        }
        if let Some(end) = self.ending() {
            return Err(end);
        }
        let net = self.net();
        connect::set_timeouts(&data, &meta, &net, true);
        let dialect = connect::agree_on_features(self, &data)?;
        let authenticated = authenticate::authenticate(self, &data, dialect)?;
        connect::set_timeouts(&data, &meta, &net, false);
        pr_info!(
            "{}: connected, protocol version {}, features {:#x}{}\n",
            label,
            dialect.version(),
            dialect.features().bits(),
            if authenticated {
                ", peer authenticated"
            } else {
                ""
            }
        );
        self.open_volumes(dialect, &net, pair.resolve_conflicts);
        self.enter(Conn::WfReportParams);
        let crew = self.crew().map_err(no_memory)?;
        let spawn =
            |name: &CStr, run: fn(&Connection, &Socket, Dialect, &Ctl), socket: &Arc<Socket>| {
                let (connection, socket) = (self.clone(), socket.clone());
                KThread::spawn_in(&crew, name, move |ctl| run(&connection, &socket, dialect, ctl))
                    .map_err(no_memory)
            };
        let threads = (
            spawn(c"drbd_sender", sender::run, &data)?,
            spawn(c"drbd_acker", sender::run_meta, &meta)?,
            spawn(c"drbd_ack_rcv", meta_receiver::run, &meta)?,
        );
        let received = receiver::run(self, &data, dialect, ctl);
        if let Err(end) = received {
            if end.conn == Conn::Disconnecting && self.ending().is_none() {
                parting::let_peer_see(self, &data, ctl);
            }
            self.end(end);
        }
        let end = self.ending().unwrap_or(End {
            conn: Conn::NetworkFailure,
            why: "connection closed",
        });
        // From here on nothing new is sent; then whoever sends is stopped.
        for device in self.devices().iter() {
            device.with(|inner, link, now| inner.volume.disconnecting(end.conn, link, now));
        }
        self.queues.close();
        // Reset: pages that were spliced may be reused once their bio has ended.
        data.abort();
        meta.abort();
        for thread in [&threads.0, &threads.1, &threads.2] {
            thread.request_stop();
        }
        self.queues.wake();
        drop(threads);
        Err(end)
    }

    fn open_volumes(&self, dialect: Dialect, net: &NetOptions, resolve_conflicts: bool) {
        self.queues.open(net);
        self.liveness.begin();
        let protocol = protocol_of(net);
        let (discard, dry_run) = self.one_shot();
        let own = connect::own_protocol(net, discard, dry_run);
        let _ = self
            .queues
            .control(0, drbd_core::wire::packet::Packet::Protocol(own));
        for device in self.devices().iter() {
            self.open_volume(device, dialect, protocol, resolve_conflicts);
        }
    }

    /// Lets a volume take part in the connection.
    fn open_volume(
        &self,
        device: &Device,
        dialect: Dialect,
        protocol: ReplicationProtocol,
        resolve_conflicts: bool,
    ) {
        let options = self.peer_options(device.number);
        let (discard, dry_run) = self.one_shot();
        let two_primaries = self.net().two_primaries;
        device.join(self.queues.clone(), |inner| {
            inner.volume.add_entropy(random::u64());
            inner.volume.set_peer_options(options);
            inner.volume.set_one_shot(discard, dry_run);
            inner.volume.connected(dialect, protocol, resolve_conflicts);
            let context = inner.volume.context_mut();
            context.two_primaries = two_primaries;
            context.state_sent = true;
        });
        device.with(|inner, link, _| inner.volume.send_handshake(link));
    }

    /// Options of connection and peer device, as the engine wants them. Context: task.
    pub(crate) fn peer_options(&self, volume: u16) -> PeerOptions {
        self.conf.lock().peer_options(volume)
    }

    /// Settles everything of a connection that ended. Context: the connection's thread.
    fn tear_down(self: &Arc<Self>, failure: Conn) {
        self.set_cstate(failure);
        {
            let mut shared = self.shared.lock();
            let sockets = (shared.data.take(), shared.meta.take());
            drop(shared);
            drop(sockets);
        }
        self.queues.close();
        let devices = self.devices();
        for device in devices.iter() {
            device.with(|inner, link, now| inner.volume.disconnecting(failure, link, now));
        }
        while let Some(item) = self.queues.pop_raw() {
            cancel(&devices, item);
        }
        for device in devices.iter() {
            // Our disks answer, or fail, in their own time.
            let _ = device.changed.wait_until(None, None, || {
                !device.peek(|volume| volume.peer_ops_in_flight())
            });
            device.with(|inner, link, now| inner.volume.disconnected(link, now));
        }
        fence::after_loss(self);
        for device in devices.iter() {
            let _ = device.changed.wait_until(None, None, || {
                device.peek(|volume| volume.ready_to_connect())
            });
        }
    }
}


fn no_memory<E>(_: E) -> End {
    End {
        conn: Conn::NetworkFailure,
        why: "out of memory",
    }
}

/// An item of the send queue that is not sent any more.
fn cancel(devices: &KVec<Arc<Device>>, item: SendItem) {
    let (volume, op) = match item {
        SendItem::Write { volume, op, .. }
        | SendItem::Read { volume, op }
        | SendItem::OutOfSync { volume, op }
        | SendItem::RsRequest { volume, op }
        | SendItem::Reply { volume, op } => (volume, op),
        SendItem::Control | SendItem::Bitmap { .. } => return,
    };
    let Some(device) = devices.iter().find(|device| device.number == volume) else {
        return;
    };
    device.cancel_send(op, matches!(item, SendItem::Reply { .. }));
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! The generic netlink server of family `drbd`.
//!
//! Framing only: attributes pass as bytes in both directions, `drbd_core::genl` knows them. No
//! kernel policy validates them. Commands run in parallel (`parallel_ops`), in the caller's
//! process, inside a no-I/O allocation scope. Initial network namespace only.

use super::{
    deferred,
    genl_message::{request, Message, HDR_SIZE},
    lock::{Arc, Atomic, Relaxed},
    module, noio,
};
use crate::sys as c;
use core::{mem::MaybeUninit, ptr::NonNull};
use kernel::{error::to_result, prelude::*};

pub(crate) use super::genl_message::{Request, UserHdr};

/// How a command is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// One request, one reply.
    Do,
    /// `NLM_F_DUMP`: many records.
    Dump,
}

/// One row of the command table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    /// Command number.
    pub(crate) cmd: u8,
    /// How it is called.
    pub(crate) kind: Kind,
    /// Needs CAP_NET_ADMIN and CAP_SYS_ADMIN; must be the same in both rows of a command.
    pub(crate) admin: bool,
}

/// One message of a dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Command number in the message.
    pub(crate) cmd: u8,
    /// User header.
    pub(crate) hdr: UserHdr,
    /// Bytes of attributes in the output buffer.
    pub(crate) len: usize,
}

/// State of one dump between calls; all zero at its start.
pub(crate) type Cursor = [u64; 4];

/// The event of API version 1 before there were notifications: numbered by itself, for each kind of listener counts gaps.
const LEGACY_EVENT: u8 = 1;

/// Room for the attributes of a reply.
pub(crate) const REPLY_MAX: usize = 16384;
/// Room for the attributes of one dump record: what surely fits an empty datagram.
pub(crate) const RECORD_MAX: usize = 3500;

/// What answers requests. Context of all functions: task, in the caller's process.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Carries out a command; writes attributes to the start of `out` and returns the user header
    /// of the reply and their length. An error is sent as `NLMSG_ERROR`.
    fn doit(&self, request: &Request<'_>, out: &mut [u8]) -> Result<(UserHdr, usize)>;

    /// Produces the record that `cursor` stands at and moves it on; `None` at the end.
    ///
    /// A record that does not fit the datagram is asked for again with the old cursor.
    fn dump(
        &self,
        request: &Request<'_>,
        cursor: &mut Cursor,
        out: &mut [u8],
    ) -> Result<Option<Record>>;
}

/// # Invariants
///
/// Boxed; `family` is the first field, so that the `family` pointer of a request is ours. Its
/// tables are the fields below, which do not change.
#[repr(C)]
struct Inner {
    family: c::genl_family,
    ops: KVec<c::genl_split_ops>,
    groups: [c::genl_multicast_group; 1],
    handler: Arc<dyn Handler>,
    sequence: Atomic<u32>,
    legacy_sequence: Atomic<u32>,
}

/// The registered family. Dropping it unregisters and waits for running commands (task context).
pub(crate) struct Server {
    inner: NonNull<Inner>,
}

// SAFETY: Commands run concurrently by design; the handler is Send and Sync, the rest constant.
unsafe impl Send for Server {}
// SAFETY: As above.
unsafe impl Sync for Server {}

fn put_name<const N: usize>(dst: &mut [u8; N], name: &[u8]) {
    for (to, from) in dst.iter_mut().zip(name) {
        *to = *from;
    }
}

struct Policy([c::nla_policy; 2]);
// SAFETY: Never written.
unsafe impl Sync for Policy {}

// An operation without a policy gets one that refuses every attribute. This one, applied in the
// liberal way, accepts any attribute of any length.
static ANY_ATTRIBUTE: Policy =
    // SAFETY: Type "unspecified", valid when zero.
    Policy(unsafe { MaybeUninit::zeroed().assume_init() });

fn operation(row: &Command) -> c::genl_split_ops {
    // SAFETY: Optional functions, integers and pointers: valid when zero.
    let mut op: c::genl_split_ops = unsafe { MaybeUninit::zeroed().assume_init() };
    op.cmd = row.cmd;
    op.policy = (&raw const ANY_ATTRIBUTE.0).cast();
    op.maxattr = 1;
    op.validate = (c::genl_validate_flags_GENL_DONT_VALIDATE_STRICT
        | c::genl_validate_flags_GENL_DONT_VALIDATE_DUMP_STRICT) as u8;
    let (kind, calls) = match row.kind {
        Kind::Do => (
            c::GENL_CMD_CAP_DO,
            c::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_1: c::genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
                    pre_doit: None,
                    doit: Some(doit),
                    post_doit: None,
                },
            },
        ),
        Kind::Dump => (
            c::GENL_CMD_CAP_DUMP,
            c::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_2: c::genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
                    start: Some(dump_start),
                    dumpit: Some(dumpit),
                    done: Some(dump_done),
                },
            },
        ),
    };
    op.__bindgen_anon_1 = calls;
    op.flags = (kind | if row.admin { c::GENL_ADMIN_PERM } else { 0 }) as u8;
    op
}

impl Server {
    /// Registers family `drbd` with group `events`. Context: task.
    ///
    /// `version` is what user space compares, `max_attr` the highest top-level attribute.
    /// Errors: `EEXIST` (another driver has the family), `EINVAL`, `ENOMEM`.
    pub(crate) fn register(
        version: u32,
        max_attr: u32,
        commands: &[Command],
        handler: Arc<dyn Handler>,
    ) -> Result<Self> {
        let mut ops = KVec::with_capacity(commands.len(), GFP_KERNEL)?;
        // The core wants them by number, "do" before "dump".
        let mut last = None;
        while let Some(row) = commands
            .iter()
            .filter(|row| last.is_none_or(|l| (row.cmd, row.kind) > l))
            .min_by_key(|row| (row.cmd, row.kind))
        {
            ops.push(operation(row), GFP_KERNEL)?;
            last = Some((row.cmd, row.kind));
        }
        let count = u8::try_from(ops.len()).map_err(|_| EINVAL)?;
        // SAFETY: Integers and pointers, valid when zero.
        let (mut family, mut group): (c::genl_family, c::genl_multicast_group) = unsafe {
            (
                MaybeUninit::zeroed().assume_init(),
                MaybeUninit::zeroed().assume_init(),
            )
        };
        put_name(&mut family.name, b"drbd");
        family.version = version;
        family.hdrsize = HDR_SIZE as u32;
        family.maxattr = max_attr;
        family.n_split_ops = count;
        family.n_mcgrps = 1;
        // No command asks for the strict checks of newer families.
        family.resv_start_op = u8::MAX;
        family.module = module::this();
        family.set_parallel_ops(1);
        put_name(&mut group.name, b"events");
        let inner = Inner {
            family,
            ops,
            groups: [group],
            handler,
            // The first one that the reference uses (drbd9-api section 6).
            sequence: Atomic::new(3),
            legacy_sequence: Atomic::new(3),
        };
        let inner = NonNull::new(KBox::into_raw(KBox::new(inner, GFP_KERNEL)?)).ok_or(ENOMEM)?;
        // SAFETY: Freshly boxed; the family refers to tables in the same box, which stays where it
        // is until it is unregistered.
        let rc = unsafe {
            let p = inner.as_ptr();
            (*p).family.split_ops = (*p).ops.as_ptr();
            (*p).family.mcgrps = (&raw const (*p).groups).cast();
            c::genl_register_family(&raw mut (*p).family)
        };
        if let Err(e) = to_result(rc) {
            // SAFETY: Not registered: the box is still ours alone.
            drop(unsafe { KBox::from_raw(inner.as_ptr()) });
            return Err(e);
        }
        Ok(Server { inner })
    }

    fn family(&self) -> *mut c::genl_family {
        self.inner.as_ptr().cast()
    }

    /// True when somebody listens to the group. Context: task.
    pub(crate) fn has_listeners(&self) -> bool {
        // SAFETY: Registered family.
        unsafe { c::kg_genl_has_listeners(self.family()) }
    }

    /// Sends a notification to the group, with a sequence number of its own. Nobody listening is
    /// not an error. Context: task. Errors: `ENOMEM`, `EMSGSIZE`.
    pub(crate) fn multicast(&self, cmd: u8, hdr: UserHdr, attrs: &[u8]) -> Result {
        if !self.has_listeners() {
            return Ok(());
        }
        // SAFETY: Live by the invariant of `Server`.
        let inner = unsafe { self.inner.as_ref() };
        let sequence = if cmd == LEGACY_EVENT {
            &inner.legacy_sequence
        } else {
            &inner.sequence
        };
        noio::scope(|| {
            let msg = Message::new(attrs.len())?;
            // A number is taken only for a message that exists: listeners count gaps.
            let seq = sequence.fetch_add(1, Relaxed);
            msg.put(self.family(), 0, seq, 0, cmd, hdr, attrs)?;
            // SAFETY: A complete message, which the call consumes.
            match unsafe { c::kg_genlmsg_multicast(self.family(), msg.into_raw()) } {
                rc if rc == ESRCH.to_errno() => Ok(()),
                rc => to_result(rc),
            }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        debug_assert!(deferred::may_sleep());
        // SAFETY: Registered in `register`; unregistering waits for running commands. Dumps that
        // are under way hold the module, whose exit drops us.
        unsafe {
            c::genl_unregister_family(self.family());
            drop(KBox::from_raw(self.inner.as_ptr()));
        }
    }
}

/// # Safety
///
/// Called by the genetlink core for a command of a `Server`.
unsafe extern "C" fn doit(skb: *mut c::sk_buff, info: *mut c::genl_info) -> c_int {
    // SAFETY: By the contract.
    let run = || unsafe {
        let inner = &*(*info).family.cast::<Inner>();
        let portid = (*info).snd_portid;
        let request = request(skb, (*info).nlhdr, portid)?;
        let admin = inner
            .ops
            .iter()
            .any(|op| op.cmd == request.cmd && u32::from(op.flags) & c::GENL_ADMIN_PERM != 0);
        if admin && !request.sys_admin {
            return Err(EPERM);
        }
        let mut out = KVVec::from_elem(0u8, REPLY_MAX, GFP_KERNEL)?;
        let (hdr, len) = inner.handler.doit(&request, &mut out)?;
        let attrs = out.get(..len).ok_or(EMSGSIZE)?;
        let msg = Message::new(len)?;
        let family = (*info).family.cast_mut();
        msg.put(family, portid, (*info).snd_seq, 0, request.cmd, hdr, attrs)?;
        to_result(c::kg_genlmsg_reply(msg.into_raw(), info))
    };
    match noio::scope(run) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// What a dump keeps between calls; `cb->args[0]` points to it.
struct DumpState {
    cursor: Cursor,
    ended: bool,
    out: KVec<u8>,
}

/// # Safety
///
/// Called by the genetlink core when a dump of a `Server` starts.
unsafe extern "C" fn dump_start(cb: *mut c::netlink_callback) -> c_int {
    let make = || -> Result<*mut DumpState> {
        let out = KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?;
        let state = DumpState {
            cursor: [0; 4],
            ended: false,
            out,
        };
        Ok(KBox::into_raw(KBox::new(state, GFP_KERNEL)?))
    };
    match noio::scope(make) {
        Ok(state) => {
            // SAFETY: `args` are for our use during the dump.
            unsafe { *c::kg_cb_args(cb) = state as isize };
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// Called by the genetlink core at the end of a dump, after a successful `dump_start`.
unsafe extern "C" fn dump_done(cb: *mut c::netlink_callback) -> c_int {
    // SAFETY: Stored by `dump_start`, taken out once.
    unsafe {
        let state = c::kg_cb_args(cb).replace(0) as *mut DumpState;
        if !state.is_null() {
            drop(KBox::from_raw(state));
        }
    }
    0
}

/// # Safety
///
/// Called by the genetlink core during a dump, between `dump_start` and `dump_done`.
unsafe extern "C" fn dumpit(skb: *mut c::sk_buff, cb: *mut c::netlink_callback) -> c_int {
    let run = || -> Result<()> {
        // SAFETY: By the contract; dumps of one socket do not run concurrently.
        let (inner, state, nlh, portid) = unsafe {
            (
                &*c::kg_cb_family(cb).cast::<Inner>(),
                &mut *(*c::kg_cb_args(cb) as *mut DumpState),
                (*cb).nlh,
                c::kg_cb_portid(cb),
            )
        };
        let family = core::ptr::from_ref(inner)
            .cast_mut()
            .cast::<c::genl_family>();
        // SAFETY: The request that started the dump; its skb lives as long as the dump.
        let (request, seq) = unsafe { (request((*cb).skb, nlh, portid)?, (*nlh).nlmsg_seq) };
        // The skb belongs to the core: never freed here.
        let msg = core::mem::ManuallyDrop::new(Message { skb });
        let mut empty = true;
        while !state.ended {
            let mut cursor = state.cursor;
            let Some(record) = inner.handler.dump(&request, &mut cursor, &mut state.out)? else {
                state.ended = true;
                break;
            };
            let attrs = state.out.get(..record.len).ok_or(EMSGSIZE)?;
            let flags = c::NLM_F_MULTI;
            match msg.put(family, portid, seq, flags, record.cmd, record.hdr, attrs) {
                Ok(()) => {}
                // Full: this record comes first in the next datagram.
                Err(_) if !empty => break,
                Err(e) => return Err(e),
            }
            empty = false;
            state.cursor = cursor;
        }
        Ok(())
    };
    match noio::scope(run) {
        // SAFETY: The core's skb; length 0 ends the dump.
        Ok(()) => unsafe { (*skb).len as c_int },
        Err(e) => e.to_errno(),
    }
}

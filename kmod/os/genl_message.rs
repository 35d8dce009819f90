// SPDX-License-Identifier: GPL-2.0-or-later
//! Netlink messages of the family: decoding requests, building replies.

use crate::sys as c;
use core::mem::size_of;
use kernel::prelude::*;

/// `struct drbd_genlmsghdr`, the family's user header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UserHdr {
    /// Device minor, `u32::MAX` when the command is not about one.
    pub(crate) minor: u32,
    /// Flags in a request, `ret_code` in a reply or notification.
    pub(crate) value: i32,
}

pub(super) const HDR_SIZE: usize = 8;

impl UserHdr {
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (minor, rest) = bytes.split_first_chunk::<4>()?;
        let (value, _) = rest.split_first_chunk::<4>()?;
        Some(UserHdr {
            minor: u32::from_ne_bytes(*minor),
            value: i32::from_ne_bytes(*value),
        })
    }

    fn to_bytes(self) -> [u8; HDR_SIZE] {
        let mut bytes = [0; HDR_SIZE];
        // `Iterator::` because pin-init has a `chain` as well.
        let words = Iterator::chain(
            self.minor.to_ne_bytes().into_iter(),
            self.value.to_ne_bytes(),
        );
        for (to, from) in bytes.iter_mut().zip(words) {
            *to = from;
        }
        bytes
    }
}

/// A request as the host sees it.
pub(crate) struct Request<'a> {
    /// Command number.
    pub(crate) cmd: u8,
    /// `genlmsghdr.version`: not checked by the kernel.
    pub(crate) version: u8,
    /// User header.
    pub(crate) hdr: UserHdr,
    /// Every attribute of the message, not validated.
    pub(crate) attrs: &'a [u8],
    /// The caller has CAP_SYS_ADMIN: may see secrets.
    pub(crate) sys_admin: bool,
    /// The caller has CAP_NET_ADMIN.
    pub(crate) net_admin: bool,
    /// Netlink port of the caller.
    pub(crate) portid: u32,
}

/// An skb of our own.
pub(super) struct Message {
    pub(super) skb: *mut c::sk_buff,
}

impl Message {
    pub(super) fn new(attrs_len: usize) -> Result<Self> {
        let size = attrs_len
            .saturating_add(HDR_SIZE)
            .saturating_add(size_of::<u32>());
        // SAFETY: Task context.
        let skb = unsafe { c::genlmsg_new(size, c::GFP_KERNEL) };
        if skb.is_null() {
            return Err(ENOMEM);
        }
        Ok(Message { skb })
    }

    /// Appends one complete message. Errors: `EMSGSIZE`, with nothing appended.
    #[expect(clippy::too_many_arguments, reason = "the fields of a netlink message")]
    pub(super) fn put(
        &self,
        family: *mut c::genl_family,
        portid: u32,
        seq: u32,
        flags: u32,
        cmd: u8,
        hdr: UserHdr,
        attrs: &[u8],
    ) -> Result {
        // SAFETY: Live skb and family; `genlmsg_put` reserves room for the user header and returns
        // its address.
        unsafe {
            let user = c::genlmsg_put(self.skb, portid, seq, family, flags as c_int, cmd);
            if user.is_null() {
                return Err(EMSGSIZE);
            }
            user.cast::<[u8; HDR_SIZE]>().write(hdr.to_bytes());
            if !c::kg_skb_append(self.skb, attrs.as_ptr().cast(), attrs.len() as u32) {
                c::genlmsg_cancel(self.skb, user);
                return Err(EMSGSIZE);
            }
            c::genlmsg_end(self.skb, user);
        }
        Ok(())
    }

    pub(super) fn into_raw(self) -> *mut c::sk_buff {
        let skb = self.skb;
        core::mem::forget(self);
        skb
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: Ours.
        unsafe { c::nlmsg_free(self.skb) };
    }
}

/// Decodes a received message.
///
/// # Safety
///
/// `nlh` is a message of this family inside `skb`, whose length the core has checked.
pub(super) unsafe fn request<'a>(
    skb: *mut c::sk_buff,
    nlh: *const c::nlmsghdr,
    portid: u32,
) -> Result<Request<'a>> {
    // SAFETY: By the contract: `nlmsg_len` bytes from `nlh` on are readable.
    let bytes = unsafe { core::slice::from_raw_parts(nlh.cast::<u8>(), (*nlh).nlmsg_len as usize) };
    let generic = bytes.get(size_of::<c::nlmsghdr>()..).ok_or(EINVAL)?;
    let (head, user) = generic
        .split_at_checked(size_of::<c::genlmsghdr>())
        .ok_or(EINVAL)?;
    let (hdr, attrs) = user.split_at_checked(HDR_SIZE).ok_or(EINVAL)?;
    // SAFETY: A received skb.
    let (sys_admin, net_admin) = unsafe {
        (
            c::netlink_capable(skb, c::CAP_SYS_ADMIN as c_int),
            c::netlink_capable(skb, c::CAP_NET_ADMIN as c_int),
        )
    };
    Ok(Request {
        cmd: head.first().copied().ok_or(EINVAL)?,
        version: head.get(1).copied().ok_or(EINVAL)?,
        hdr: UserHdr::from_bytes(hdr).ok_or(EINVAL)?,
        attrs,
        sys_admin,
        net_admin,
        portid,
    })
}

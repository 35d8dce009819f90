// SPDX-License-Identifier: GPL-2.0-or-later
//! Receiving notifications.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use drbd_core::genl::FAMILY_NAME;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::constants::GENL_ID_CTRL;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::GenlMessage;

use crate::client::{lifted, messages};
use crate::{Api, Error, Event, Family, Socket, Transport};

/// Multicast group of the generic netlink controller.
const CONTROLLER_GROUP: u32 = 0x10;

/// A subscription to the group `events`.
pub struct EventStream {
    socket: Socket,
    family: u16,
    api: Api,
    queue: VecDeque<Event>,
}

impl EventStream {
    /// Joins the group. What happens from here on is received.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn open(family: &Family, receive_buffer: Option<u32>) -> Result<Self, Error> {
        let mut socket = Socket::open()?;
        if let Some(bytes) = receive_buffer {
            socket.set_receive_buffer(bytes)?;
        }
        socket.join(family.events)?;
        socket.join(CONTROLLER_GROUP)?;
        Ok(Self {
            socket,
            family: family.id,
            api: family.api,
            queue: VecDeque::new(),
        })
    }

    /// Waits for the next notification; `None` when there is none within the time limit.
    ///
    /// # Errors
    ///
    /// [`Error::ModuleUnloaded`], [`Error::Overrun`] and the socket's.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            match self.socket.receive(timeout) {
                Ok(datagram) => self.take(&datagram)?,
                Err(Error::Timeout(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// True when an event is waiting that was received already.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    fn take(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let kind = datagram
            .get(4..6)
            .map_or(0, |bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
        if kind == GENL_ID_CTRL {
            return if family_is_gone(datagram) {
                Err(Error::ModuleUnloaded)
            } else {
                Ok(())
            };
        }
        if kind != self.family {
            return Ok(());
        }
        for message in messages(datagram) {
            let message = message?;
            if let NetlinkPayload::InnerMessage(inner) = message.payload {
                let sequence = message.header.sequence_number;
                let told = lifted(self.api, inner.payload)?;
                self.queue.extend(Event::decode(&told, sequence)?);
            }
        }
        Ok(())
    }
}

impl AsFd for EventStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn family_is_gone(datagram: &[u8]) -> bool {
    let Ok(message) = NetlinkMessage::<GenlMessage<GenlCtrl>>::deserialize(datagram) else {
        return false;
    };
    let NetlinkPayload::InnerMessage(inner) = message.payload else {
        return false;
    };
    let gone = matches!(
        inner.payload.cmd,
        GenlCtrlCmd::DelMcastGrp | GenlCtrlCmd::DelFamily
    );
    let ours = GenlCtrlAttrs::FamilyName(FAMILY_NAME.into());
    gone && inner.payload.nlas.contains(&ours)
}

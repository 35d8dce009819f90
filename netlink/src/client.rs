// SPDX-License-Identifier: GPL-2.0-or-later
//! Requests with one reply, and dumps.

use std::thread;
use std::time::{Duration, Instant};

use drbd_core::genl::{info_texts, Command, Context, RetCode, UserHeader, NO_MINOR};
use netlink_packet_core::{
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NLM_F_DUMP, NLM_F_REQUEST,
};
use netlink_packet_generic::GenlMessage;

use crate::message::DrbdMessage;
use crate::v1::{self, MinorStatus};
use crate::{Api, Error, Family, RequestMessage, Socket, Transport};

/// How long an answer may take: an attach or a cluster-wide change takes its time.
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);
const RETRY_FIRST: Duration = Duration::from_millis(62);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// The kernel's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Result.
    pub code: RetCode,
    /// Additional texts.
    pub texts: Vec<String>,
    /// Attributes, for the requests that ask something.
    pub attributes: Vec<u8>,
}

/// A connection to the family `drbd`.
pub struct Client {
    transport: Box<dyn Transport>,
    family: Family,
    sequence: u32,
}

impl Client {
    /// Opens a socket and finds the family; the module must be loaded.
    ///
    /// # Errors
    ///
    /// As [`Family::resolve`].
    pub fn open() -> Result<Self, Error> {
        Self::over(Box::new(Socket::open()?))
    }

    /// Finds the family over the given transport.
    ///
    /// # Errors
    ///
    /// As [`Family::resolve`].
    pub fn over(mut transport: Box<dyn Transport>) -> Result<Self, Error> {
        let family = Family::resolve(transport.as_mut())?;
        Ok(Self {
            transport,
            family,
            sequence: 1,
        })
    }

    /// What the kernel says about the family.
    pub fn family(&self) -> &Family {
        &self.family
    }

    /// Whether the family is still the one that was found. It is not once the module was unloaded, or loaded
    /// again: what was left open then speaks to nobody.
    pub fn is_current(&mut self) -> bool {
        Family::resolve(self.transport.as_mut()).is_ok_and(|family| family == self.family)
    }

    /// Sends a request and waits for its reply; repeats it while the kernel is in a transient state.
    ///
    /// # Errors
    ///
    /// Everything but a refusal by drbd, which is in the reply's code.
    pub fn request(&mut self, request: &RequestMessage) -> Result<Reply, Error> {
        let end = Instant::now() + REPLY_TIMEOUT;
        let mut pause = RETRY_FIRST;
        loop {
            let reply = self.request_once(request)?;
            if reply.code != RetCode::SS_IN_TRANSIENT_STATE || Instant::now() + pause >= end {
                return Ok(reply);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY_LONGEST);
        }
    }

    fn request_once(&mut self, request: &RequestMessage) -> Result<Reply, Error> {
        self.exchange(NLM_F_REQUEST, request.message(self.family.api)?)
    }

    fn exchange(&mut self, flags: u16, message: DrbdMessage) -> Result<Reply, Error> {
        let sequence = self.send(message, flags)?;
        let end = Instant::now() + REPLY_TIMEOUT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let datagram = self.receive(left)?;
            for message in messages(&datagram) {
                let message = message?;
                if message.header.sequence_number != sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => return reply(message.payload),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Error::Refused(error.to_io()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends a dump request and collects the records.
    ///
    /// A filter that names an unknown resource gives one record without attributes and with code 158.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn dump(&mut self, request: &RequestMessage) -> Result<Vec<DrbdMessage>, Error> {
        match request.resource_name() {
            Some(name) if self.family.api == Api::V1 => self.dump_of(name, request),
            _ => self.dump_asked(request),
        }
    }

    /// A driver of 8.4 that is asked for a resource it does not have repeats its refusal for ever (control-plane.md
    /// section 4.2), so it is asked for all.
    fn dump_of(&mut self, name: &str, request: &RequestMessage) -> Result<Vec<DrbdMessage>, Error> {
        let of_it = |records: Vec<DrbdMessage>| -> Result<Vec<DrbdMessage>, Error> {
            let mut kept = Vec::new();
            for record in records {
                if Context::find(&record.attributes)?.resource == Some(name) {
                    kept.push(record);
                }
            }
            Ok(kept)
        };
        let all = self.dump_asked(&request.clone().of_every_resource())?;
        let found = of_it(all)?;
        if found.is_empty() && of_it(self.dump_all(Command::GetResources)?)?.is_empty() {
            return Ok(vec![DrbdMessage {
                command: request.command_number(),
                header: UserHeader::reply(NO_MINOR, RetCode::ERR_RES_NOT_KNOWN),
                attributes: Vec::new(),
            }]);
        }
        Ok(found)
    }

    fn dump_asked(&mut self, request: &RequestMessage) -> Result<Vec<DrbdMessage>, Error> {
        let message = request.message(self.family.api)?;
        let sequence = self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut records = Vec::new();
        loop {
            let datagram = self.receive(REPLY_TIMEOUT)?;
            for message in messages(&datagram) {
                let message = message?;
                if message.header.sequence_number != sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => {
                        records.push(lifted(self.family.api, message.payload)?);
                    }
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(records),
                    NetlinkPayload::Done(done) => {
                        return Err(Error::Refused(std::io::Error::from_raw_os_error(
                            -done.code,
                        )));
                    }
                    NetlinkPayload::Error(error) => return Err(Error::Refused(error.to_io())),
                    _ => {}
                }
            }
        }
    }

    /// Sends a dump request without parameters.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn dump_all(&mut self, command: Command) -> Result<Vec<DrbdMessage>, Error> {
        self.dump(&RequestMessage::new(command))
    }

    /// What a driver of generation 8.4 tells of a minor.
    ///
    /// # Errors
    ///
    /// [`Error`]; a refusal by drbd is in the inner result.
    pub fn minor_status(&mut self, minor: u32) -> Result<Result<MinorStatus, Reply>, Error> {
        let reply = self.exchange(
            NLM_F_REQUEST,
            DrbdMessage {
                command: drbd_core::genl::v1::GET_STATUS,
                header: UserHeader { minor, value: 0 },
                attributes: Vec::new(),
            },
        )?;
        if !reply.code.is_success() {
            return Ok(Err(reply));
        }
        MinorStatus::decode(&reply.attributes).map(Ok)
    }

    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.transport
            .receive(timeout)
            .map_err(|error| match error {
                Error::Timeout(_) => Error::Timeout(REPLY_TIMEOUT),
                other => other,
            })
    }

    fn send(&mut self, message: DrbdMessage, flags: u16) -> Result<u32, Error> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut payload = GenlMessage::from_payload(message);
        payload.set_resolved_family_id(self.family.id);
        payload.finalize();
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.transport.send(&bytes)?;
        Ok(self.sequence)
    }
}

/// A record or notification in version 2.
pub(crate) fn lifted(api: Api, message: DrbdMessage) -> Result<DrbdMessage, Error> {
    match api {
        Api::V1 => v1::lift(message),
        Api::V2 => Ok(message),
    }
}

fn reply(message: DrbdMessage) -> Result<Reply, Error> {
    let texts = info_texts(&message.attributes)
        .map(|text| text.map(|text| text.trim_end().to_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Reply {
        code: message.header.code(),
        texts,
        attributes: message.attributes,
    })
}

/// The messages of a datagram.
pub(crate) fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkMessage<GenlMessage<DrbdMessage>>, Error>> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let declared = rest
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let Some(this) = usize::try_from(declared)
            .ok()
            .filter(|len| *len >= 16)
            .and_then(|len| rest.get(..len))
        else {
            rest = &[];
            return Some(Err(Error::Nonsense("truncated datagram".into())));
        };
        rest = rest.get(this.len().next_multiple_of(4)..).unwrap_or(&[]);
        Some(NetlinkMessage::deserialize(this).map_err(Error::from))
    })
}

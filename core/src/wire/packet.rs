// SPDX-License-Identifier: GPL-2.0-or-later
//! Every packet as a value, without its payload.

use super::block::{
    Barrier, BarrierAck, BlockAck, BlockData, BlockDesc, BlockRequest, DelayProbe, DpFlags, Trim,
};
use super::command::{to_u32, Command};
use super::cursor::{Reader, Writer};
use super::dialect::Dialect;
use super::error::WireError;
use super::frame::Frame;
use super::handshake::{ConnectionFeatures, Protocol};
use super::header::Header;
use super::sizes::Sizes;
use super::state_packets::{decode_request, decode_state, encode_request, StateReply};
use super::sync_param::SyncParam;
use super::uuids::{decode_uuids, encode_uuids};
use crate::state::{Request, State};
use crate::uuid::PeerUuids;

/// A packet. What each means stands at the [`Command`] of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant is explained at the command of the same name"
)]
pub enum Packet {
    Data(BlockData),
    DataReply(BlockData),
    RsDataReply(BlockData),
    Barrier(Barrier),
    Bitmap,
    UnplugRemote,
    DataRequest(BlockRequest),
    RsDataRequest(BlockRequest),
    /// In the form of the dialect, P_SYNC_PARAM or P_SYNC_PARAM89.
    SyncParam(SyncParam),
    Protocol(Protocol),
    Uuids(PeerUuids),
    Sizes(Sizes),
    State(State),
    SyncUuid(u64),
    AuthChallenge,
    AuthResponse,
    StateChgReq(Request),
    Ping,
    PingAck,
    RecvAck(BlockAck),
    WriteAck(BlockAck),
    RsWriteAck(BlockAck),
    Superseded(BlockAck),
    NegAck(BlockAck),
    NegDreply(BlockAck),
    NegRsDreply(BlockAck),
    BarrierAck(BarrierAck),
    StateChgReply(StateReply),
    OvRequest(BlockRequest),
    OvReply(BlockRequest),
    OvResult(BlockAck),
    CsumRsRequest(BlockRequest),
    RsIsInSync(BlockAck),
    CompressedBitmap,
    DelayProbe(DelayProbe),
    OutOfSync(BlockDesc),
    RsCancel(BlockAck),
    ConnStChgReq(Request),
    ConnStChgReply(StateReply),
    RetryWrite(BlockAck),
    ProtocolUpdate(Protocol),
    Trim(Trim),
    RsThinReq(BlockRequest),
    RsDeallocated(BlockDesc),
    Zeroes(Trim),
    InitialMeta,
    InitialData,
    ConnectionFeatures(ConnectionFeatures),
}

impl Packet {
    /// Decodes the first [`Frame::fixed_len`] bytes after the header; `bytes` may be longer.
    ///
    /// # Errors
    ///
    /// [`WireError::BadValue`], [`WireError::BadSetting`], [`WireError::Truncated`] if `bytes` is too short.
    pub fn decode(dialect: Dialect, frame: &Frame, bytes: &[u8]) -> Result<Self, WireError> {
        let have = bytes.len();
        let bytes = bytes.get(..frame.fixed_len).ok_or(WireError::Truncated {
            needed: frame.fixed_len,
            have,
        })?;
        let reader = &mut Reader::new(bytes);
        Ok(match frame.command {
            Command::Data => Self::Data(BlockData::decode(reader)?),
            Command::DataReply => Self::DataReply(BlockData::decode(reader)?),
            Command::RsDataReply => Self::RsDataReply(BlockData::decode(reader)?),
            Command::Barrier => Self::Barrier(Barrier::decode(reader)?),
            Command::Bitmap => Self::Bitmap,
            Command::UnplugRemote => Self::UnplugRemote,
            Command::DataRequest => Self::DataRequest(BlockRequest::decode(reader)?),
            Command::RsDataRequest => Self::RsDataRequest(BlockRequest::decode(reader)?),
            Command::SyncParam | Command::SyncParam89 => {
                Self::SyncParam(SyncParam::decode(dialect, reader)?)
            }
            Command::Protocol => Self::Protocol(Protocol::decode(dialect, reader)?),
            Command::Uuids => Self::Uuids(decode_uuids(reader)?),
            Command::Sizes => Self::Sizes(Sizes::decode(dialect, reader)?),
            Command::State => Self::State(decode_state(reader)?),
            Command::SyncUuid => Self::SyncUuid(reader.u64()?),
            Command::AuthChallenge => Self::AuthChallenge,
            Command::AuthResponse => Self::AuthResponse,
            Command::StateChgReq => Self::StateChgReq(decode_request(reader)?),
            Command::Ping => Self::Ping,
            Command::PingAck => Self::PingAck,
            Command::RecvAck => Self::RecvAck(BlockAck::decode(reader)?),
            Command::WriteAck => Self::WriteAck(BlockAck::decode(reader)?),
            Command::RsWriteAck => Self::RsWriteAck(BlockAck::decode(reader)?),
            Command::Superseded => Self::Superseded(BlockAck::decode(reader)?),
            Command::NegAck => Self::NegAck(BlockAck::decode(reader)?),
            Command::NegDreply => Self::NegDreply(BlockAck::decode(reader)?),
            Command::NegRsDreply => Self::NegRsDreply(BlockAck::decode(reader)?),
            Command::BarrierAck => Self::BarrierAck(BarrierAck::decode(reader)?),
            Command::StateChgReply => Self::StateChgReply(StateReply::decode(reader)?),
            Command::OvRequest => Self::OvRequest(BlockRequest::decode(reader)?),
            Command::OvReply => Self::OvReply(BlockRequest::decode(reader)?),
            Command::OvResult => Self::OvResult(BlockAck::decode(reader)?),
            Command::CsumRsRequest => Self::CsumRsRequest(BlockRequest::decode(reader)?),
            Command::RsIsInSync => Self::RsIsInSync(BlockAck::decode(reader)?),
            Command::CompressedBitmap => Self::CompressedBitmap,
            Command::DelayProbe => Self::DelayProbe(DelayProbe::decode(reader)?),
            Command::OutOfSync => Self::OutOfSync(BlockDesc::decode(reader)?),
            Command::RsCancel => Self::RsCancel(BlockAck::decode(reader)?),
            Command::ConnStChgReq => Self::ConnStChgReq(decode_request(reader)?),
            Command::ConnStChgReply => Self::ConnStChgReply(StateReply::decode(reader)?),
            Command::RetryWrite => Self::RetryWrite(BlockAck::decode(reader)?),
            Command::ProtocolUpdate => Self::ProtocolUpdate(Protocol::decode(dialect, reader)?),
            Command::Trim => Self::Trim(Trim::decode(reader, DpFlags::DISCARD)?),
            Command::RsThinReq => Self::RsThinReq(BlockRequest::decode(reader)?),
            Command::RsDeallocated => Self::RsDeallocated(BlockDesc::decode(reader)?),
            Command::Zeroes => Self::Zeroes(Trim::decode(reader, DpFlags::ZEROES)?),
            Command::InitialMeta => Self::InitialMeta,
            Command::InitialData => Self::InitialData,
            Command::ConnectionFeatures => {
                Self::ConnectionFeatures(ConnectionFeatures::decode(reader)?)
            }
        })
    }

    /// The command under which this packet travels.
    #[must_use]
    pub fn command(&self, dialect: Dialect) -> Command {
        match self {
            Self::Data(_) => Command::Data,
            Self::DataReply(_) => Command::DataReply,
            Self::RsDataReply(_) => Command::RsDataReply,
            Self::Barrier(_) => Command::Barrier,
            Self::Bitmap => Command::Bitmap,
            Self::UnplugRemote => Command::UnplugRemote,
            Self::DataRequest(_) => Command::DataRequest,
            Self::RsDataRequest(_) => Command::RsDataRequest,
            Self::SyncParam(_) if Command::SyncParam.exists_in(dialect) => Command::SyncParam,
            Self::SyncParam(_) => Command::SyncParam89,
            Self::Protocol(_) => Command::Protocol,
            Self::Uuids(_) => Command::Uuids,
            Self::Sizes(_) => Command::Sizes,
            Self::State(_) => Command::State,
            Self::SyncUuid(_) => Command::SyncUuid,
            Self::AuthChallenge => Command::AuthChallenge,
            Self::AuthResponse => Command::AuthResponse,
            Self::StateChgReq(_) => Command::StateChgReq,
            Self::Ping => Command::Ping,
            Self::PingAck => Command::PingAck,
            Self::RecvAck(_) => Command::RecvAck,
            Self::WriteAck(_) => Command::WriteAck,
            Self::RsWriteAck(_) => Command::RsWriteAck,
            Self::Superseded(_) => Command::Superseded,
            Self::NegAck(_) => Command::NegAck,
            Self::NegDreply(_) => Command::NegDreply,
            Self::NegRsDreply(_) => Command::NegRsDreply,
            Self::BarrierAck(_) => Command::BarrierAck,
            Self::StateChgReply(_) => Command::StateChgReply,
            Self::OvRequest(_) => Command::OvRequest,
            Self::OvReply(_) => Command::OvReply,
            Self::OvResult(_) => Command::OvResult,
            Self::CsumRsRequest(_) => Command::CsumRsRequest,
            Self::RsIsInSync(_) => Command::RsIsInSync,
            Self::CompressedBitmap => Command::CompressedBitmap,
            Self::DelayProbe(_) => Command::DelayProbe,
            Self::OutOfSync(_) => Command::OutOfSync,
            Self::RsCancel(_) => Command::RsCancel,
            Self::ConnStChgReq(_) => Command::ConnStChgReq,
            Self::ConnStChgReply(_) => Command::ConnStChgReply,
            Self::RetryWrite(_) => Command::RetryWrite,
            Self::ProtocolUpdate(_) => Command::ProtocolUpdate,
            Self::Trim(_) => Command::Trim,
            Self::RsThinReq(_) => Command::RsThinReq,
            Self::RsDeallocated(_) => Command::RsDeallocated,
            Self::Zeroes(_) => Command::Zeroes,
            Self::InitialMeta => Command::InitialMeta,
            Self::InitialData => Command::InitialData,
            Self::ConnectionFeatures(_) => Command::ConnectionFeatures,
        }
    }

    /// Writes what follows the header, without the payload; returns its bytes, at most [`super::MAX_FIXED`].
    ///
    /// # Errors
    ///
    /// [`WireError::NotInDialect`] for a packet the peer does not know, [`WireError::BadValue`] and
    /// [`WireError::BadSetting`] for one it would misunderstand, [`WireError::BufferTooSmall`].
    pub fn encode(&self, dialect: Dialect, buffer: &mut [u8]) -> Result<usize, WireError> {
        let command = self.command(dialect);
        if !dialect.may_send(command) {
            return Err(WireError::NotInDialect {
                command,
                version: dialect.version(),
            });
        }
        let mut writer = Writer::new(buffer);
        self.encode_fields(dialect, &mut writer)?;
        Ok(writer.written())
    }

    /// Writes header and fixed part of a packet that `payload_len` bytes of payload will follow; returns the bytes
    /// written, at most [`super::MAX_FRAME`]. `volume` is 0 for packets of the whole connection.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`] and [`Header::encode`]; [`WireError::TooShort`] and [`WireError::TooLong`] for a payload
    /// that this packet cannot have.
    pub fn encode_frame(
        &self,
        dialect: Dialect,
        volume: u16,
        payload_len: u32,
        buffer: &mut [u8],
    ) -> Result<usize, WireError> {
        let command = self.command(dialect);
        let lengths = command.lengths(dialect);
        if payload_len < lengths.payload_min {
            return Err(WireError::TooShort {
                command,
                length: payload_len,
                least: lengths.payload_min,
            });
        }
        if payload_len > lengths.payload_max {
            return Err(WireError::TooLong {
                command,
                length: payload_len,
                most: lengths.payload_max,
            });
        }
        let have = buffer.len();
        let header_len = dialect.header_len();
        let (head, body) =
            buffer
                .split_at_mut_checked(header_len)
                .ok_or(WireError::BufferTooSmall {
                    needed: header_len,
                    have,
                })?;
        let fixed_len = self.encode(dialect, body)?;
        let length = to_u32(fixed_len).saturating_add(payload_len);
        let header = Header {
            volume,
            command: command.id(),
            length,
        };
        Ok(header.encode(dialect, head)?.saturating_add(fixed_len))
    }

    fn encode_fields(&self, dialect: Dialect, writer: &mut Writer<'_>) -> Result<(), WireError> {
        match self {
            Self::Data(data) | Self::DataReply(data) | Self::RsDataReply(data) => {
                data.encode(writer)
            }
            Self::Trim(trim) | Self::Zeroes(trim) => trim.encode(writer),
            Self::Barrier(barrier) => barrier.encode(writer),
            Self::BarrierAck(ack) => ack.encode(writer),
            Self::DataRequest(request)
            | Self::RsDataRequest(request)
            | Self::OvRequest(request)
            | Self::OvReply(request)
            | Self::CsumRsRequest(request)
            | Self::RsThinReq(request) => request.encode(writer),
            Self::RecvAck(ack)
            | Self::WriteAck(ack)
            | Self::RsWriteAck(ack)
            | Self::Superseded(ack)
            | Self::NegAck(ack)
            | Self::NegDreply(ack)
            | Self::NegRsDreply(ack)
            | Self::OvResult(ack)
            | Self::RsIsInSync(ack)
            | Self::RsCancel(ack)
            | Self::RetryWrite(ack) => ack.encode(writer),
            Self::OutOfSync(desc) | Self::RsDeallocated(desc) => desc.encode(writer),
            Self::SyncParam(param) => param.encode(dialect, writer),
            Self::Protocol(protocol) | Self::ProtocolUpdate(protocol) => {
                protocol.encode(dialect, writer)
            }
            Self::Uuids(uuids) => encode_uuids(uuids, writer),
            Self::Sizes(sizes) => sizes.encode(dialect, writer),
            Self::State(state) => writer.u32(state.to_word()),
            Self::SyncUuid(uuid) => writer.u64(*uuid),
            Self::StateChgReq(request) | Self::ConnStChgReq(request) => {
                encode_request(request, writer)
            }
            Self::StateChgReply(reply) | Self::ConnStChgReply(reply) => reply.encode(writer),
            Self::DelayProbe(probe) => probe.encode(writer),
            Self::ConnectionFeatures(features) => features.encode(writer),
            Self::Bitmap
            | Self::CompressedBitmap
            | Self::UnplugRemote
            | Self::AuthChallenge
            | Self::AuthResponse
            | Self::Ping
            | Self::PingAck
            | Self::InitialMeta
            | Self::InitialData => Ok(()),
        }
    }
}

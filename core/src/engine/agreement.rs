// SPDX-License-Identifier: GPL-2.0-or-later
//! Settings that both ends of a connection have to agree on (wire-protocol section 5.4).

use crate::{
    config::{AfterSb, NetOptions, Protocol as ProtocolOption},
    uuid::Policy,
    wire::handshake::{ConnFlags, Protocol},
};

/// A setting that differs, in the order of the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// protocol.
    Protocol,
    /// after-sb-0pri.
    AfterSb0Pri,
    /// after-sb-1pri.
    AfterSb1Pri,
    /// after-sb-2pri.
    AfterSb2Pri,
    /// Both nodes want to discard their data.
    DiscardMyData,
    /// allow-two-primaries.
    AllowTwoPrimaries,
    /// data-integrity-alg.
    DataIntegrityAlg,
}

impl Mismatch {
    /// Name of the option, for the log.
    pub const fn name(self) -> &'static str {
        match self {
            Mismatch::Protocol => "protocol",
            Mismatch::AfterSb0Pri => "after-sb-0pri",
            Mismatch::AfterSb1Pri => "after-sb-1pri",
            Mismatch::AfterSb2Pri => "after-sb-2pri",
            Mismatch::DiscardMyData => "discard-my-data",
            Mismatch::AllowTwoPrimaries => "allow-two-primaries",
            Mismatch::DataIntegrityAlg => "data-integrity-alg",
        }
    }
}

/// What the peer calls local is remote here.
fn seen_from_here(policy: Policy) -> Policy {
    match policy {
        Policy::DiscardLocal => Policy::DiscardRemote,
        Policy::DiscardRemote => Policy::DiscardLocal,
        other => other,
    }
}

/// Compares what the peer sent in P_PROTOCOL with the own settings; the first difference refuses
/// the connection for good.
pub fn agree(own: &Protocol, peer: &Protocol) -> Result<(), Mismatch> {
    let checks = [
        (own.protocol == peer.protocol, Mismatch::Protocol),
        (
            own.after_sb_0p == seen_from_here(peer.after_sb_0p),
            Mismatch::AfterSb0Pri,
        ),
        (
            own.after_sb_1p == seen_from_here(peer.after_sb_1p),
            Mismatch::AfterSb1Pri,
        ),
        (
            own.after_sb_2p == seen_from_here(peer.after_sb_2p),
            Mismatch::AfterSb2Pri,
        ),
        (
            !(own.conn_flags.contains(ConnFlags::DISCARD_MY_DATA)
                && peer.conn_flags.contains(ConnFlags::DISCARD_MY_DATA)),
            Mismatch::DiscardMyData,
        ),
        (
            own.two_primaries == peer.two_primaries,
            Mismatch::AllowTwoPrimaries,
        ),
        (
            own.integrity_alg == peer.integrity_alg,
            Mismatch::DataIntegrityAlg,
        ),
    ];
    match checks.iter().find(|(same, _)| !same) {
        Some((_, mismatch)) => Err(*mismatch),
        None => Ok(()),
    }
}

/// Takes over what the peer changed while connected (P_PROTOCOL_UPDATE), so that the two still
/// agree when they meet again. The digest of the peer's data is the peer's own affair.
pub fn adopt(own: &mut NetOptions, peer: &Protocol) {
    let policy = |told: Policy| AfterSb::from_number(i64::from(seen_from_here(told).number()));
    let protocol = ProtocolOption::from_number(i64::from(peer.protocol.number()));
    own.wire_protocol = protocol.unwrap_or(own.wire_protocol);
    own.after_sb_0p = policy(peer.after_sb_0p).unwrap_or(own.after_sb_0p);
    own.after_sb_1p = policy(peer.after_sb_1p).unwrap_or(own.after_sb_1p);
    own.after_sb_2p = policy(peer.after_sb_2p).unwrap_or(own.after_sb_2p);
    own.two_primaries = peer.two_primaries;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{alg_name::AlgName, handshake::ReplicationProtocol};

    fn settings() -> Protocol {
        Protocol {
            protocol: ReplicationProtocol::C,
            after_sb_0p: Policy::Disconnect,
            after_sb_1p: Policy::Disconnect,
            after_sb_2p: Policy::Disconnect,
            conn_flags: ConnFlags::NONE,
            two_primaries: false,
            integrity_alg: AlgName::EMPTY,
        }
    }

    #[test]
    fn each_difference_is_named() {
        let own = settings();
        assert_eq!(agree(&own, &own), Ok(()));
        let protocol = ReplicationProtocol::A;
        let peer = Protocol { protocol, ..own };
        assert_eq!(agree(&own, &peer), Err(Mismatch::Protocol));
        let two_primaries = true;
        let peer = Protocol {
            two_primaries,
            ..own
        };
        assert_eq!(agree(&own, &peer), Err(Mismatch::AllowTwoPrimaries));
        let conn_flags = ConnFlags::DISCARD_MY_DATA;
        let both = Protocol { conn_flags, ..own };
        assert_eq!(agree(&both, &both), Err(Mismatch::DiscardMyData));
        assert_eq!(agree(&both, &own), Ok(()));
    }

    #[test]
    fn what_the_peer_changes_is_taken_over_as_seen_from_here() {
        let mut own = NetOptions::default();
        let peer = Protocol {
            protocol: ReplicationProtocol::A,
            after_sb_0p: Policy::DiscardLocal,
            after_sb_1p: Policy::Consensus,
            ..settings()
        };
        adopt(&mut own, &peer);
        assert_eq!(own.wire_protocol, ProtocolOption::A);
        assert_eq!(own.after_sb_0p, AfterSb::DiscardRemote);
        assert_eq!(own.after_sb_1p, AfterSb::Consensus);
        let unchanged = NetOptions {
            wire_protocol: own.wire_protocol,
            after_sb_0p: own.after_sb_0p,
            after_sb_1p: own.after_sb_1p,
            ..NetOptions::default()
        };
        assert_eq!(own, unchanged);
    }

    #[test]
    fn local_and_remote_mirror_each_other() {
        let own = Protocol {
            after_sb_0p: Policy::DiscardLocal,
            ..settings()
        };
        let peer = Protocol {
            after_sb_0p: Policy::DiscardRemote,
            ..settings()
        };
        assert_eq!(agree(&own, &peer), Ok(()));
        assert_eq!(agree(&own, &own), Err(Mismatch::AfterSb0Pri));
    }
}

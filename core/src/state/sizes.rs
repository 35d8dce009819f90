// SPDX-License-Identifier: GPL-2.0-or-later
//! How two nodes agree on the size of a volume.
//!
//! The usable size is what both backing devices can hold and the administrator allows. A size once used by data may
//! only shrink while connected. All sizes are in sectors of 512 bytes; 0 means "not known" or "not set".
//! replication-semantics.md section 10, packet in wire-protocol.md section 5.6.

use super::model::{Conn, Disk, Role, State};

/// What bounds the size of a volume, in sectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// What the peer's backing device can hold.
    pub peer_max: u64,
    /// What the own backing device can hold.
    pub own_max: u64,
    /// Size last agreed upon, from the metadata.
    pub last_agreed: u64,
    /// Size configured by the administrator.
    pub user: u64,
}

/// Size of the volume under `bounds`; 0 when no disk is known at all.
///
/// `assume_peer_has_space` is the administrator's word for an unconnected peer. A configured size that is too big is
/// ignored; [`user_size_too_big`] tells so.
pub fn agreed_size(bounds: Bounds, conn: Conn, assume_peer_has_space: bool) -> u64 {
    let size = possible_size(bounds, conn, assume_peer_has_space);
    if bounds.user != 0 && bounds.user <= size {
        bounds.user
    } else {
        size
    }
}

/// Whether the configured size exceeds what the disks allow, and is therefore ignored by [`agreed_size`].
pub fn user_size_too_big(bounds: Bounds, conn: Conn, assume_peer_has_space: bool) -> bool {
    bounds.user > possible_size(bounds, conn, assume_peer_has_space)
}

fn possible_size(bounds: Bounds, conn: Conn, assume_peer_has_space: bool) -> u64 {
    let own = bounds.own_max;
    let peer = if conn < Conn::Connected && assume_peer_has_space {
        own
    } else {
        bounds.peer_max
    };
    match (own, peer, bounds.last_agreed) {
        (0, 0, last) => last,
        (0, peer, 0) => peer,
        (own, 0, 0) => own,
        (0, peer, last) => last.min(peer),
        (own, 0, last) => last.min(own),
        (own, peer, _) => own.min(peer),
    }
}

/// The smaller of two sizes, where 0 is no size.
fn min_not_zero(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, size) | (size, 0) => size,
        (one, other) => one.min(other),
    }
}

/// Content of a P_SIZES that matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSizes {
    /// Capacity of the peer's backing device.
    pub d_size: u64,
    /// Size configured at the peer.
    pub u_size: u64,
    /// Current size of the peer's volume; 0 when it wants an answer.
    pub c_size: u64,
    /// The peer wants no resync of a grown part.
    pub no_resync: bool,
}

/// Own facts at the arrival of a P_SIZES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnSizes {
    /// Capacity of the own backing device.
    pub own_max: u64,
    /// Size last agreed upon, from the metadata.
    pub last_agreed: u64,
    /// Configured size.
    pub user: u64,
    /// Current size of the volume.
    pub current: u64,
    /// Whether the own backing device changed its size since it was last looked at.
    pub backing_changed: bool,
    /// Whether this node started the resize.
    pub resize_pending: bool,
}

/// Why a P_SIZES ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Connecting or the peer's attach would cut off data; the volume would shrink to this size.
    PeerDiskTooSmall {
        /// Sectors it would have.
        new: u64,
    },
    /// This diskless Primary would shrink to the peer's size: it has to be demoted first.
    PeerDeviceTooSmall {
        /// Sectors it would have.
        new: u64,
    },
}

/// What to do about the part that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing was added, or not by a resize.
    None,
    /// Resynchronise it now.
    Resync,
    /// Declared clean by the administrator.
    AssumedClean,
    /// A disk is not ready: remember it until both are.
    AfterNegotiation,
}

/// What follows from an accepted P_SIZES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Size the volume takes; equal to the current one when nothing changes.
    pub size: u64,
    /// Configured size to adopt.
    pub user: u64,
    /// Answer with a P_SIZES of one's own.
    pub send_sizes: bool,
    /// What to do about an added part.
    pub growth: Growth,
    /// The peer without a disk announced another size, which is ignored (log it).
    pub ignored: bool,
}

/// Judges a P_SIZES received in `state`.
///
/// # Errors
///
/// A [`Refusal`]: the connection goes to Disconnecting.
pub fn on_peer_sizes(state: State, own: OwnSizes, peer: PeerSizes) -> Result<Accepted, Refusal> {
    // "Has a disk" is Inconsistent or better, or one that is being negotiated (it has a superblock to write).
    let has_disk = state.disk >= Disk::Negotiating && state.disk != Disk::Unknown;
    let accepted = if has_disk {
        with_disk(state, own, peer)?
    } else {
        without_disk(state, own, peer)?
    };
    if state.conn <= Conn::WfReportParams {
        return Ok(accepted);
    }
    let grew_while_connected =
        has_disk && state.conn == Conn::Connected && accepted.size > own.current;
    let growth = if !own.resize_pending && !grew_while_connected {
        Growth::None
    } else if state.disk < Disk::Inconsistent || state.pdsk < Disk::Inconsistent {
        Growth::AfterNegotiation
    } else if peer.no_resync {
        Growth::AssumedClean
    } else {
        Growth::Resync
    };
    Ok(Accepted {
        send_sizes: peer.c_size != accepted.size || has_disk && own.backing_changed,
        growth,
        ..accepted
    })
}

fn with_disk(state: State, own: OwnSizes, peer: PeerSizes) -> Result<Accepted, Refusal> {
    let user = if state.conn == Conn::WfReportParams {
        min_not_zero(own.user, peer.u_size)
    } else {
        peer.u_size
    };
    let bounds = Bounds {
        peer_max: peer.d_size,
        own_max: own.own_max,
        last_agreed: own.last_agreed,
        user,
    };
    let size = agreed_size(bounds, state.conn, false);
    let may_not_shrink = state.conn < Conn::Connected || state.pdsk == Disk::Diskless;
    // A disk under negotiation has not been judged yet, but a Primary has already worked with the current size.
    let has_data = state.disk >= Disk::Outdated
        || state.disk == Disk::Negotiating && state.role == Role::Primary;
    if size < own.current && has_data && may_not_shrink {
        return Err(Refusal::PeerDiskTooSmall { new: size });
    }
    Ok(Accepted {
        size,
        user,
        send_sizes: false,
        growth: Growth::None,
        ignored: false,
    })
}

fn without_disk(state: State, own: OwnSizes, peer: PeerSizes) -> Result<Accepted, Refusal> {
    let offered = [peer.c_size, peer.u_size, peer.d_size]
        .into_iter()
        .find(|size| *size != 0);
    let stay = Accepted {
        size: own.current,
        user: own.user,
        send_sizes: false,
        growth: Growth::None,
        ignored: false,
    };
    match offered {
        None => Ok(stay),
        Some(size) if size == own.current => Ok(stay),
        // It asks for an answer; what it will make of its disk it says afterwards.
        Some(_) if own.current != 0 && peer.c_size == 0 => Ok(stay),
        // It has no disk either: its size is hearsay, perhaps from this node.
        Some(_) if own.current != 0 && peer.d_size == 0 => Ok(Accepted {
            ignored: true,
            ..stay
        }),
        Some(size) if size < own.current && state.role == Role::Primary => {
            Err(Refusal::PeerDeviceTooSmall { new: size })
        }
        Some(size) => Ok(Accepted { size, ..stay }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: OwnSizes = OwnSizes {
        own_max: 1000,
        last_agreed: 800,
        user: 0,
        current: 800,
        backing_changed: false,
        resize_pending: false,
    };
    const PEER: PeerSizes = PeerSizes {
        d_size: 900,
        u_size: 0,
        c_size: 800,
        no_resync: false,
    };
    const MEETING: State = State {
        conn: Conn::WfReportParams,
        disk: Disk::UpToDate,
        pdsk: Disk::Unknown,
        ..State::UNCONFIGURED
    };
    const CONNECTED: State = State {
        conn: Conn::Connected,
        disk: Disk::UpToDate,
        pdsk: Disk::UpToDate,
        ..State::UNCONFIGURED
    };

    #[test]
    fn the_table_of_known_and_unknown_sizes() {
        let size = |peer_max, own_max, last_agreed, user| {
            agreed_size(
                Bounds {
                    peer_max,
                    own_max,
                    last_agreed,
                    user,
                },
                Conn::Connected,
                false,
            )
        };
        assert_eq!(size(900, 1000, 800, 0), 900);
        assert_eq!(size(0, 1000, 800, 0), 800);
        assert_eq!(size(0, 700, 800, 0), 700);
        assert_eq!(size(600, 0, 800, 0), 600);
        assert_eq!(size(0, 1000, 0, 0), 1000);
        assert_eq!(size(600, 0, 0, 0), 600);
        assert_eq!(size(0, 0, 0, 0), 0);
        assert_eq!(size(900, 1000, 800, 500), 500);
        assert_eq!(size(900, 1000, 800, 950), 900);
        let bounds = Bounds {
            peer_max: 900,
            own_max: 1000,
            last_agreed: 800,
            user: 950,
        };
        assert!(user_size_too_big(bounds, Conn::Connected, false));
        // The administrator vouches for the absent peer only.
        assert_eq!(
            agreed_size(Bounds { user: 0, ..bounds }, Conn::WfConnection, true),
            1000
        );
        assert_eq!(
            agreed_size(Bounds { user: 0, ..bounds }, Conn::Connected, true),
            900
        );
    }

    #[test]
    fn a_first_meeting_takes_the_smaller_configured_size() {
        let own = OwnSizes {
            user: 700,
            current: 0,
            last_agreed: 0,
            ..OWN
        };
        let peer = PeerSizes {
            u_size: 600,
            c_size: 0,
            ..PEER
        };
        assert_eq!(on_peer_sizes(MEETING, own, peer).unwrap().size, 600);
        let unset = PeerSizes { u_size: 0, ..peer };
        assert_eq!(on_peer_sizes(MEETING, own, unset).unwrap().user, 700);
        // Later the peer's word counts, also when it removes the limit.
        assert_eq!(on_peer_sizes(CONNECTED, own, unset).unwrap().user, 0);
    }

    #[test]
    fn data_is_not_cut_off_by_connecting() {
        let small = PeerSizes {
            d_size: 700,
            ..PEER
        };
        assert_eq!(
            on_peer_sizes(MEETING, OWN, small),
            Err(Refusal::PeerDiskTooSmall { new: 700 })
        );
        let attach = State {
            pdsk: Disk::Diskless,
            ..CONNECTED
        };
        assert_eq!(
            on_peer_sizes(attach, OWN, small),
            Err(Refusal::PeerDiskTooSmall { new: 700 })
        );
        // Online shrinking is, and an inconsistent disk has nothing to lose.
        assert_eq!(on_peer_sizes(CONNECTED, OWN, small).unwrap().size, 700);
        let fresh = State {
            disk: Disk::Inconsistent,
            ..MEETING
        };
        assert_eq!(on_peer_sizes(fresh, OWN, small).unwrap().size, 700);
    }

    #[test]
    fn growth_is_resynchronised() {
        let grown = on_peer_sizes(CONNECTED, OWN, PEER).unwrap();
        assert_eq!(
            (grown.size, grown.growth, grown.send_sizes),
            (900, Growth::Resync, true)
        );
        let clean = on_peer_sizes(
            CONNECTED,
            OWN,
            PeerSizes {
                no_resync: true,
                ..PEER
            },
        )
        .unwrap();
        assert_eq!(clean.growth, Growth::AssumedClean);
        let attach = State {
            pdsk: Disk::Diskless,
            ..CONNECTED
        };
        let later = on_peer_sizes(
            attach,
            OwnSizes {
                resize_pending: true,
                ..OWN
            },
            PEER,
        )
        .unwrap();
        assert_eq!(later.growth, Growth::AfterNegotiation);
        // Not by the handshake, which compares UUIDs anyway.
        let met = on_peer_sizes(MEETING, OWN, PEER).unwrap();
        assert_eq!((met.growth, met.send_sizes), (Growth::None, false));
    }

    #[test]
    fn without_a_disk() {
        let diskless = State {
            disk: Disk::Diskless,
            role: Role::Primary,
            ..MEETING
        };
        let none = OwnSizes {
            own_max: 0,
            last_agreed: 0,
            current: 0,
            ..OWN
        };
        assert_eq!(on_peer_sizes(diskless, none, PEER).unwrap().size, 800);
        assert_eq!(
            on_peer_sizes(
                diskless,
                none,
                PeerSizes {
                    c_size: 0,
                    u_size: 750,
                    ..PEER
                }
            )
            .unwrap()
            .size,
            750
        );
        assert_eq!(
            on_peer_sizes(diskless, none, PeerSizes { c_size: 0, ..PEER })
                .unwrap()
                .size,
            900
        );
        assert_eq!(
            on_peer_sizes(diskless, none, PeerSizes::default())
                .unwrap()
                .size,
            0
        );
        let sized = OwnSizes {
            current: 850,
            ..none
        };
        assert_eq!(
            on_peer_sizes(diskless, sized, PEER),
            Err(Refusal::PeerDeviceTooSmall { new: 800 })
        );
        let secondary = State {
            role: Role::Secondary,
            ..diskless
        };
        assert_eq!(on_peer_sizes(secondary, sized, PEER).unwrap().size, 800);
        let both = on_peer_sizes(diskless, sized, PeerSizes { d_size: 0, ..PEER }).unwrap();
        assert!(both.ignored && both.size == 850);
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! How much this node wants to be promoted.

use crate::parameters::{Parameters, PeerPrimary};
use crate::status::Facts;

/// What becomes of the node's promotion score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Score {
    /// This value.
    Set(u32),
    /// There is none: the node is not to be promoted.
    Delete,
    /// It stays as it is.
    Keep,
}

/// The first row of the table (drbdadm-ocf section 14) that holds. `promoted_elsewhere`: the cluster knows of an
/// instance that is promoted on another node.
pub(crate) fn of(facts: &Facts, parameters: &Parameters, promoted_elsewhere: bool) -> Score {
    let [only_consistent, only_remote, peer_unknown, best] = parameters.scores;
    let set = |value: u32| {
        if value == 0 {
            Score::Delete
        } else {
            Score::Set(value)
        }
    };
    let steps_back = match parameters.if_peer_primary {
        PeerPrimary::Keep => false,
        PeerPrimary::Remove => true,
        PeerPrimary::RemoveIfUnexpected => !promoted_elsewhere,
    };
    let steps_back = steps_back && !facts.primary && facts.peer_primary() && facts.a_peer_good();
    if !facts.quorum || steps_back {
        Score::Delete
    } else if facts.client {
        if facts.primary && facts.a_peer_good() || facts.all_peers_good() {
            set(best.saturating_sub(1))
        } else if facts.a_peer_good() {
            set(peer_unknown.saturating_sub(1))
        } else {
            Score::Delete
        }
    } else if facts.good() {
        let lost_sight = !facts.primary && facts.a_peer_unknown();
        set(if lost_sight { peer_unknown } else { best })
    } else if facts.a_peer_good() {
        set(only_remote)
    } else if facts.transitional() {
        Score::Keep
    } else if facts.consistent() {
        set(only_consistent)
    } else {
        Score::Delete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Disk, Peer};

    fn facts(primary: bool, disk: Disk, peer_primary: bool, peer: Disk) -> Facts {
        Facts {
            primary,
            disks: vec![disk],
            client: false,
            quorum: true,
            peers: vec![Peer {
                primary: peer_primary,
                connected: peer != Disk::Unknown,
                disks: vec![peer],
            }],
        }
    }

    #[test]
    fn every_row() {
        use Disk::{Consistent, Good, Transitional, Unknown, Useless};
        let parameters = Parameters {
            scores: [5, 10, 1000, 10_000],
            ..Parameters::of("r0")
        };
        let score = |facts: &Facts| of(facts, &parameters, false);
        let mut client = facts(false, Useless, false, Good);
        client.client = true;
        let no_quorum = Facts {
            quorum: false,
            ..facts(true, Good, false, Good)
        };
        assert_eq!(score(&no_quorum), Score::Delete);
        assert_eq!(score(&client), Score::Set(9999));
        client.peers.push(Peer::default());
        assert_eq!(score(&client), Score::Set(999));
        client.primary = true;
        assert_eq!(score(&client), Score::Set(9999));
        client.peers.clear();
        assert_eq!(score(&client), Score::Delete);
        assert_eq!(
            score(&facts(true, Good, false, Unknown)),
            Score::Set(10_000)
        );
        assert_eq!(score(&facts(false, Good, false, Unknown)), Score::Set(1000));
        assert_eq!(
            score(&facts(false, Good, false, Useless)),
            Score::Set(10_000)
        );
        assert_eq!(score(&facts(false, Useless, true, Good)), Score::Set(10));
        assert_eq!(
            score(&facts(false, Transitional, false, Unknown)),
            Score::Keep
        );
        assert_eq!(
            score(&facts(false, Consistent, false, Unknown)),
            Score::Set(5)
        );
        assert_eq!(score(&facts(false, Useless, false, Unknown)), Score::Delete);
    }

    #[test]
    fn the_default_wants_no_merely_consistent_node() {
        let facts = facts(false, Disk::Consistent, false, Disk::Unknown);
        assert_eq!(of(&facts, &Parameters::of("r0"), false), Score::Delete);
    }

    #[test]
    fn who_steps_back_for_a_primary_peer() {
        let facts = facts(false, Disk::Good, true, Disk::Good);
        let with = |if_peer_primary| Parameters {
            if_peer_primary,
            ..Parameters::of("r0")
        };
        assert_eq!(
            of(&facts, &with(PeerPrimary::Keep), false),
            Score::Set(10_000)
        );
        assert_eq!(of(&facts, &with(PeerPrimary::Remove), true), Score::Delete);
        let unexpected = with(PeerPrimary::RemoveIfUnexpected);
        assert_eq!(of(&facts, &unexpected, true), Score::Set(10_000));
        assert_eq!(of(&facts, &unexpected, false), Score::Delete);
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Random lives of two nodes: writes, promotions, lost links, crashes and resyncs that break off at any point.
//!
//! The nodes use the state engine and the generation UUIDs as the engine does; their data is a handful of numbered
//! blocks. Whatever happens, a node that holds an acknowledged write is never overwritten by one that lacks it, a
//! resync makes both equal, and "no resync" is said of equal data only.

extern crate std;

use std::collections::BTreeSet;
use std::vec::Vec;

use super::Random;
use crate::state::action::Side;
use crate::state::after::{after_change, after_role_change, immediate, Facts};
use crate::state::md_flags::{attach, AttachFacts, MdState};
use crate::state::{apply, Action, Actions, Conn, Context, Disk, Kind, Request, Role, Ss, State};
use crate::state::{cluster, resync};
use crate::uuid::compare::Compared;
use crate::uuid::incoming::{on_state, sets_all_bits, StateFacts, StateReaction};
use crate::uuid::{
    AfterSplitBrain, Demotion, Fix, GenUuids, Meeting, PeerUuids, Policy, UuidFlags,
};

const BLOCKS: usize = 6;
const C: Context = Context::DEFAULT;

#[derive(Clone)]
struct Node {
    state: State,
    uuids: GenUuids,
    md: u32,
    crashed_primary: bool,
    peer_may_have_current: bool,
    discard_my_data: bool,
    peer: Option<PeerUuids>,
    blocks: [u32; BLOCKS],
    dirty: [bool; BLOCKS],
    /// Blocks covered by the activity log: dirty after a crash.
    hot: [bool; BLOCKS],
    /// Acknowledged writes this node's data contains.
    acked: BTreeSet<u32>,
}

struct Pair {
    nodes: [Node; 2],
    random: Random,
    writes: u32,
    syncs: u32,
    refusals: u32,
    bitmap_fixes: u32,
}

fn other(node: usize) -> usize {
    1 - node
}

impl Pair {
    /// Two nodes whose initial sync is skipped.
    fn new(seed: u64) -> Pair {
        let node = Node {
            state: State {
                disk: Disk::UpToDate,
                ..State::UNCONFIGURED
            },
            uuids: GenUuids {
                current: 0x1000,
                ..GenUuids::FRESH
            },
            md: 0x11,
            crashed_primary: false,
            peer_may_have_current: false,
            discard_my_data: false,
            peer: None,
            blocks: [0; BLOCKS],
            dirty: [false; BLOCKS],
            hot: [false; BLOCKS],
            acked: BTreeSet::new(),
        };
        let mut random = Random(seed);
        random.next();
        Pair {
            nodes: [node.clone(), node],
            random,
            writes: 0,
            syncs: 0,
            refusals: 0,
            bitmap_fixes: 0,
        }
    }

    fn uuid(&mut self) -> u64 {
        self.random.next() & !1
    }

    fn connected(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.state.conn >= Conn::Connected)
    }

    fn told_uuids(&self, node: usize) -> PeerUuids {
        let node = &self.nodes[node];
        let flags = u64::from(node.discard_my_data) | u64::from(node.crashed_primary) << 1;
        PeerUuids {
            uuids: node.uuids,
            dirty_bits: node.dirty.iter().filter(|dirty| **dirty).count() as u64,
            flags: UuidFlags(flags),
        }
    }

    /// Changes a state and does what follows from it. The sync UUID is delivered by the caller.
    fn change(&mut self, node: usize, wanted: State, kind: Kind) -> Result<Ss, Ss> {
        let all_in_sync = self.nodes[node].dirty == [false; BLOCKS];
        let context = Context {
            target_may_be_good: all_in_sync,
            ..C
        };
        let change = apply(self.nodes[node].state, wanted, kind, &context)?;
        self.nodes[node].state = change.new;
        let facts = Facts {
            everything_sent: all_in_sync,
            bitmap_uuid_clear: self.nodes[node].uuids.bitmap == 0,
            peer_may_have_current: self.nodes[node].peer_may_have_current,
            ..Facts::of(change.new)
        };
        self.act(node, &immediate(&change, &facts));
        self.act(node, &after_change(&change, &facts));
        Ok(change.result())
    }

    fn act(&mut self, node: usize, actions: &Actions) {
        let list: Vec<Action> = actions.iter().collect();
        for action in list {
            let random = self.uuid();
            let it = &mut self.nodes[node];
            let primary = it.state.role == Role::Primary;
            match action {
                Action::UpdateMetadata => {
                    it.md = MdState::of(it.state, it.crashed_primary).to_v08(it.md)
                }
                Action::ClearCrashedPrimary => {
                    it.crashed_primary = false;
                    it.md = MdState::of(it.state, false).to_v08(it.md);
                }
                Action::NewCurrentUuid => {
                    it.uuids.new_current(random, primary);
                    it.peer_may_have_current = false;
                }
                Action::FinishSourceUuids => it.uuids.finish_as_source(),
                Action::SendSyncUuid => {
                    it.uuids.start_as_source(random);
                    it.peer_may_have_current = it.uuids.resync_began();
                }
                Action::SendUuids if it.state.conn >= Conn::Connected => {
                    self.nodes[other(node)].peer = Some(self.told_uuids(node));
                }
                _ => {}
            }
        }
    }

    fn fact(&mut self, node: usize, wanted: State) {
        self.change(node, wanted, Kind::Hard).unwrap();
    }

    /// The link breaks for one node.
    fn cut(&mut self, node: usize) {
        if self.nodes[node].state.conn < Conn::WfReportParams {
            return;
        }
        for conn in [Conn::NetworkFailure, Conn::Unconnected, Conn::WfConnection] {
            let state = self.nodes[node].state;
            if state.conn != conn {
                self.fact(node, State { conn, ..state });
            }
        }
        self.nodes[node].peer = None;
    }

    fn cut_both(&mut self) {
        let first = self.random.below(2);
        self.cut(first);
        self.cut(other(first));
    }

    /// One node loses power and comes back, unconnected.
    fn crash(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        for block in 0..BLOCKS {
            it.dirty[block] |= it.hot[block];
        }
        let now = State {
            disk: Disk::Attaching,
            ..State::UNCONFIGURED
        };
        let facts = AttachFacts {
            full_sync: false,
            al_disabled: false,
            data_unchanged: true,
        };
        let attached = attach(now, MdState::from_v08(it.md), facts, &C);
        it.crashed_primary = attached.crashed_primary;
        it.peer_may_have_current = true;
        it.discard_my_data = false;
        it.peer = None;
        it.state = now;
        self.fact(
            node,
            State {
                disk: attached.disk,
                pdsk: attached.pdsk,
                ..now
            },
        );
        if self.nodes[other(node)].state.conn >= Conn::WfReportParams {
            self.cut(other(node));
        }
    }

    fn promote(&mut self, node: usize) {
        let request = Request::NONE.role(Role::Primary);
        let state = self.nodes[node].state;
        let allowed = match cluster::plan(state, request, &C) {
            Ok(cluster::Plan::Local(_)) => true,
            Ok(cluster::Plan::AskPeer) => {
                let peer = other(node);
                let answer =
                    cluster::on_peer_request(self.nodes[peer].state, request, false, false, &C);
                if let Some(change) = answer.change {
                    self.fact(peer, change.new);
                }
                cluster::on_reply(answer.reply.number()).is_ok()
            }
            Err(_) => false,
        };
        if allowed && state.role != Role::Primary {
            self.change(node, request.apply_to(state).unwrap(), Kind::Soft)
                .unwrap();
            self.role_changed(node);
        }
    }

    fn demote(&mut self, node: usize) {
        let state = self.nodes[node].state;
        if state.role == Role::Primary {
            self.fact(
                node,
                State {
                    role: Role::Secondary,
                    ..state
                },
            );
            self.role_changed(node);
            let peer = other(node);
            if self.connected() {
                self.fact(
                    peer,
                    State {
                        peer: Role::Secondary,
                        ..self.nodes[peer].state
                    },
                );
            }
        }
    }

    fn role_changed(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.discard_my_data &= it.state.role != Role::Primary;
        it.uuids.set_primary(it.state.role == Role::Primary);
        let facts = Facts {
            bitmap_uuid_clear: it.uuids.bitmap == 0,
            peer_may_have_current: it.peer_may_have_current,
            ..Facts::of(it.state)
        };
        let actions = after_role_change(it.state, false, &facts);
        self.act(node, &actions);
    }

    /// A write on a Primary; the link or the node may fail in the middle of it.
    fn write(&mut self, node: usize) {
        let state = self.nodes[node].state;
        if state.role != Role::Primary || state.disk != Disk::UpToDate || !state.is_stable(101) {
            return;
        }
        self.writes += 1;
        let (write, block) = (self.writes, self.random.below(BLOCKS));
        self.nodes[node].hot = [false; BLOCKS];
        self.nodes[node].hot[block] = true;
        let (local, remote, ends) = (
            !self.random.rarely(),
            !self.random.rarely(),
            self.random.below(12),
        );
        let mirrored = state.replicates() && self.connected();
        if local || !mirrored || ends > 1 {
            self.nodes[node].blocks[block] = write;
        }
        if mirrored && (remote || ends > 1) {
            self.nodes[other(node)].blocks[block] = write;
        }
        match ends {
            0 => self.crash(node),
            1 if mirrored => {
                // The link is lost before the acknowledgement: the write completes locally and stays marked.
                self.nodes[node].blocks[block] = write;
                self.nodes[node].dirty[block] = true;
                self.cut_both();
                self.nodes[node].acked.insert(write);
            }
            _ => {
                self.nodes[node].dirty[block] |= !mirrored;
                self.nodes[node].acked.insert(write);
                if mirrored {
                    self.nodes[other(node)].acked.insert(write);
                }
            }
        }
    }

    fn judge(&mut self, node: usize) -> StateReaction {
        let told = self.nodes[other(node)].state;
        let it = &self.nodes[node];
        let facts = StateFacts {
            peer_uuids: it.peer,
            consider_resync: false,
            dirty_bits: 0,
            resync_failed: 0,
            new_uuid_deferred: false,
            remembered_disk: None,
        };
        on_state(it.state, told, &facts, |peer| {
            Some(Meeting {
                compared: Compared {
                    own: it.uuids,
                    peer: *peer,
                    role: it.state.role,
                    peer_role: told.role,
                    crashed_primary: it.crashed_primary,
                    resolve_conflicts: node == 0,
                    apv: 101,
                    feature_wsame: true,
                },
                disk: it.state.disk,
                remembered_disk: it.state.disk,
                peer_disk: told.disk,
                changes: 0,
                discard_my_data: it.discard_my_data,
                dry_run: false,
                always_asbp: false,
                after_split_brain: AfterSplitBrain::DISCONNECT,
                rr_conflict: Policy::Disconnect,
                demotion: Demotion::NotTried,
            })
        })
    }

    /// The nodes meet. Where that leads is the point of all this.
    fn connect(&mut self) {
        if self
            .nodes
            .iter()
            .any(|node| node.state.conn >= Conn::WfReportParams)
        {
            return;
        }
        for node in 0..2 {
            for conn in [Conn::Unconnected, Conn::WfConnection, Conn::WfReportParams] {
                let state = self.nodes[node].state;
                if state.conn < conn {
                    self.fact(node, State { conn, ..state });
                }
            }
        }
        for node in 0..2 {
            self.nodes[node].peer = Some(self.told_uuids(other(node)));
        }
        let reactions = [self.judge(0), self.judge(1)];
        let mut together = true;
        for (node, reaction) in reactions.iter().enumerate() {
            let (wanted, kind, met) = match reaction {
                StateReaction::Apply(accepted) => {
                    (Some(accepted.wanted), accepted.kind, accepted.handshake)
                }
                StateReaction::Refuse { handshake, .. } => (None, Kind::Hard, Some(*handshake)),
                unexpected => panic!("{unexpected:?}"),
            };
            if let Some(met) = met {
                let it = &mut self.nodes[node];
                let mut peer = it.peer.unwrap();
                met.comparison.fix.apply(&mut it.uuids, &mut peer.uuids);
                it.peer = Some(peer);
                self.bitmap_fixes += u32::from(met.comparison.fix != Fix::None);
            }
            if sets_all_bits(reaction) {
                self.nodes[node].dirty = [true; BLOCKS];
            }
            together &= wanted.is_some_and(|wanted| self.change(node, wanted, kind).is_ok());
        }
        if !together {
            self.refusals += 1;
            self.cut_both();
            self.settle();
            return;
        }
        let discards = [0, 1].map(|node| std::mem::take(&mut self.nodes[node].discard_my_data));
        match (self.nodes[0].state.conn, self.nodes[1].state.conn) {
            (Conn::Connected, Conn::Connected) => {
                assert_eq!(
                    self.nodes[0].blocks, self.nodes[1].blocks,
                    "no resync between different data"
                );
            }
            (Conn::WfBitMapS, Conn::WfBitMapT) => self.resync(0, discards[1]),
            (Conn::WfBitMapT, Conn::WfBitMapS) => self.resync(1, discards[0]),
            pair => panic!("the nodes contradict each other: {pair:?}"),
        }
    }

    /// After a refusal the administrator gives up the data of a Secondary.
    fn settle(&mut self) {
        let node = self.random.below(2);
        self.demote(node);
        self.nodes[node].discard_my_data = true;
    }

    /// The link breaks or one of the nodes crashes.
    fn break_off(&mut self) {
        match self.random.below(4) {
            0 => self.crash(0),
            1 => self.crash(1),
            _ => self.cut_both(),
        }
    }

    /// A resync that may break off anywhere.
    fn resync(&mut self, source: usize, discards: bool) {
        let target = other(source);
        self.syncs += 1;
        let lost: Vec<_> = self.nodes[target]
            .acked
            .difference(&self.nodes[source].acked)
            .collect();
        assert!(
            discards || lost.is_empty(),
            "acknowledged writes {lost:?} are overwritten"
        );
        let breaks_at = self.random.below(10);
        if breaks_at == 0 {
            return self.break_off();
        }
        for block in 0..BLOCKS {
            let either = self.nodes[0].dirty[block] || self.nodes[1].dirty[block];
            self.nodes[0].dirty[block] = either;
            self.nodes[1].dirty[block] = either;
        }
        let state = self.nodes[target].state;
        self.fact(
            target,
            State {
                conn: Conn::WfSyncUuid,
                ..state
            },
        );
        self.fact(
            source,
            resync::started(self.nodes[source].state, Side::Source, false),
        );
        if breaks_at == 1 {
            return self.break_off(); // The sync UUID is lost.
        }
        if discards {
            // Given up with the administrator's consent.
            let kept = self.nodes[source].acked.clone();
            self.nodes[target]
                .acked
                .retain(|write| kept.contains(write));
        }
        let sync = self.nodes[source].uuids.bitmap;
        self.nodes[target]
            .uuids
            .start_as_target(sync, self.nodes[target].state.role == Role::Primary);
        self.fact(
            target,
            resync::started(self.nodes[target].state, Side::Target, false),
        );
        for block in 0..BLOCKS {
            if self.nodes[source].dirty[block] {
                if breaks_at == 2 && self.random.flip() {
                    return self.break_off();
                }
                self.nodes[target].blocks[block] = self.nodes[source].blocks[block];
                self.nodes[target].dirty[block] = false;
                self.nodes[source].dirty[block] = false;
            }
        }
        if breaks_at == 3 {
            return self.break_off();
        }
        assert_eq!(
            self.nodes[0].blocks, self.nodes[1].blocks,
            "different data after a resync"
        );
        self.nodes[target].acked = self.nodes[source].acked.clone();
        let peer = self.nodes[target].peer.unwrap().uuids;
        let primary = self.nodes[target].state.role == Role::Primary;
        self.nodes[target].uuids.finish_as_target(&peer, primary);
        let end = resync::finished(self.nodes[target].state, 0).unwrap();
        self.fact(target, end.wanted);
        if breaks_at == 4 {
            // The source misses the end. Were it to crash here, it could not tell this from a resync that is not
            // finished, and would go on with the bitmap as it is.
            return if self.random.flip() {
                self.cut_both()
            } else {
                self.crash(target)
            };
        }
        self.nodes[source].uuids.finish_as_source();
        let end = resync::finished(self.nodes[source].state, 0).unwrap();
        self.fact(source, end.wanted);
        let (one, two) = (self.nodes[0].uuids, self.nodes[1].uuids);
        let names = |of: GenUuids| {
            [of.current, of.bitmap, of.history[0], of.history[1]].map(|uuid| uuid & !1)
        };
        assert_eq!(names(one), names(two), "different names for equal data");
    }

    fn step(&mut self) {
        let node = self.random.below(2);
        match self.random.below(16) {
            0 | 1 => self.promote(node),
            2 => self.demote(node),
            3 => self.cut_both(),
            4 if self.random.flip() => self.crash(node),
            5 if self.random.below(8) == 0 => {
                // A power failure of the whole site.
                self.crash(node);
                self.crash(other(node));
            }
            4..=7 => self.connect(),
            _ => self.write(node),
        }
    }
}

#[test]
fn no_life_loses_an_acknowledged_write() {
    let (mut syncs, mut refusals, mut fixes, mut writes) = (0, 0, 0, 0);
    for seed in 0..4_000u64 {
        let mut pair = Pair::new(seed);
        for step in 0..120 {
            let before = pair.nodes.clone();
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pair.step()));
            if lived.is_err() {
                for node in before {
                    std::println!(
                        "{:?} {:x?} md {:x} {:?} {:?}",
                        node.state,
                        node.uuids,
                        node.md,
                        node.blocks,
                        node.dirty
                    );
                }
                panic!("seed {seed} step {step}");
            }
        }
        syncs += pair.syncs;
        refusals += pair.refusals;
        fixes += pair.bitmap_fixes;
        writes += pair.writes;
    }
    assert!(
        syncs > 10_000 && refusals > 1_000 && fixes > 500 && writes > 50_000,
        "{syncs} {refusals} {fixes} {writes}"
    );
}

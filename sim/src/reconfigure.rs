// SPDX-License-Identifier: GPL-2.0-or-later
//! Options that are drawn for a long story, and that the administrator changes while it runs.

use super::{
    admin::Admin,
    heap::Rng,
    kind::Kind,
    node::{Node, Phase},
    story::Play,
    world::World,
};
use drbd_core::{
    config::{OnCongestion, ReadBalancing},
    engine::link::Link,
    engine::volume::PeerOptions,
    state::{Conn, Fencing, Request, Role},
    uuid::Policy,
    wire::{
        alg_name::AlgName,
        handshake::{Protocol, ReplicationProtocol},
        packet::Packet,
    },
};

impl Play {
    /// Draws the options that short stories leave at their defaults.
    pub(crate) fn draw_options(&mut self, seed: u64) {
        let mut rng = Rng::new(seed ^ 0x0b71);
        let checksums = rng.one_in(2);
        let verify = Rng::new(seed ^ 0x7e61).one_in(2);
        for node in &mut self.world.nodes {
            node.draw_pace(&mut rng);
            node.draw_congestion(&mut rng);
            if verify {
                node.peer_options.verify_alg = AlgName::new(b"crc32c").expect("a short name");
            }
            if checksums {
                node.peer_options.csums_alg = AlgName::new(b"crc32c").expect("a short name");
                node.peer_options.csums_after_crash_only = rng.one_in(4);
            }
            node.set_thin(if rng.one_in(2) { 0 } else { rng.pick(&[8, 64]) });
            let policy = read_balancing(&mut rng);
            node.set_read_balancing(policy);
        }
        // A draw of its own: the rest of an old seed stays what it was.
        let mut of_log = Rng::new(seed ^ 0xa10f);
        if of_log.one_in(4) {
            for node in &mut self.world.nodes {
                let on = of_log.one_in(2);
                node.set_al_updates(on);
            }
        }
        if rng.one_in(2) {
            let disk_timeout_ms = rng.pick(&[100, 1000, 6000]);
            self.world.set_disk_timeout(disk_timeout_ms);
        }
        if rng.one_in(3) {
            self.world.slow = 2 + rng.below(40);
        }
        if self.kind != Kind::Careful && rng.one_in(3) {
            self.draw_policies(&mut rng);
        }
    }

    /// After a split brain somebody gives in without being asked.
    fn draw_policies(&mut self, rng: &mut Rng) {
        let after_sb = [
            rng.pick(&[
                Policy::DiscardYoungerPrimary,
                Policy::DiscardOlderPrimary,
                Policy::DiscardZeroChanges,
                Policy::DiscardLeastChanges,
                Policy::DiscardLocal,
            ]),
            rng.pick(&[
                Policy::Disconnect,
                Policy::Consensus,
                Policy::DiscardSecondary,
                Policy::CallPriLost,
                Policy::Violently,
            ]),
            rng.pick(&[Policy::Disconnect, Policy::CallPriLost, Policy::Violently]),
        ];
        let [a, b] = &mut self.world.nodes;
        a.peer_options.after_sb = after_sb;
        b.peer_options.after_sb = after_sb.map(Policy::mirrored);
        self.world.model.policies_decide();
    }

    /// The administrator changes an option of node `n`.
    pub(crate) fn reconfigure(&mut self, n: usize) {
        match self.rng.below(8) {
            7 => {
                let node = &mut self.world.nodes[n];
                let on = !node.vols[0].options.al_updates;
                node.set_al_updates(on);
                self.say(|| format!("{n}: disk-options --al-updates={on}"));
            }
            3 => {
                let node = &mut self.world.nodes[n];
                node.draw_pace(&mut self.rng);
                let options = node.peer_options;
                node.set_peer_options(options);
                self.say(|| format!("{n}: peer-device-options {options:?}"));
            }
            4 => {
                let node = &mut self.world.nodes[n];
                let on = !node.state().user_isp;
                self.say(|| format!("{n}: pause-sync {on}"));
                self.world.nodes[n].command(Admin::Change {
                    request: Request::NONE.user_isp(on),
                    asked: false,
                });
            }
            5 | 6 => self.suspend_or_resume(n),
            // Two Primaries need protocol C.
            0 if self.kind == Kind::TwoPrimaries => {}
            0 => {
                let protocol = self.rng.pick(&[
                    ReplicationProtocol::A,
                    ReplicationProtocol::A,
                    ReplicationProtocol::B,
                    ReplicationProtocol::C,
                ]);
                let stonith = self.world.nodes[n].fencing == Fencing::ResourceAndStonith;
                if stonith && protocol == ReplicationProtocol::A {
                    return;
                }
                self.say(|| format!("{n}: net-options --protocol={protocol:?}"));
                self.world.switch_protocol(n, protocol);
            }
            1 => {
                let node = &mut self.world.nodes[n];
                node.draw_congestion(&mut self.rng);
                let options = node.peer_options;
                self.say(|| {
                    format!(
                        "{n}: net-options --on-congestion={:?} {} {}",
                        options.on_congestion, options.cong_fill_sectors, options.cong_extents
                    )
                });
            }
            _ => {
                let policy = read_balancing(&mut self.rng);
                self.say(|| format!("{n}: disk-options --read-balancing={policy:?}"));
                self.world.nodes[n].set_read_balancing(policy);
            }
        }
    }

    /// suspend-io, or what ends it.
    fn suspend_or_resume(&mut self, n: usize) {
        let node = &self.world.nodes[n];
        let state = node.state();
        let (now, stopped) = (self.world.now, state.suspended());
        // Who resumes by hand what waits for fencing has to know that nobody is promoted meanwhile.
        let fences = node.handler.is_some() || self.world.nodes[1 - n].handler.is_some();
        let by_hand = state.susp_fen && (fences || self.world.nodes[1 - n].admin.is_some());
        if by_hand || !stopped && state.role != Role::Primary {
            return;
        }
        if stopped {
            self.say(|| format!("{n}: resume-io"));
            self.world.nodes[n].resume_io(now);
        } else {
            self.say(|| format!("{n}: suspend-io"));
            self.world.nodes[n].suspend_io(now);
        }
    }
}

fn read_balancing(rng: &mut Rng) -> ReadBalancing {
    rng.pick(&[
        ReadBalancing::PreferLocal,
        ReadBalancing::PreferRemote,
        ReadBalancing::PreferRemote,
        ReadBalancing::RoundRobin,
        ReadBalancing::LeastPending,
        ReadBalancing::WhenCongestedRemote,
        ReadBalancing::Striping32K,
        ReadBalancing::Striping1M,
    ])
}

impl Node {
    fn draw_congestion(&mut self, rng: &mut Rng) {
        let options = &mut self.peer_options;
        options.on_congestion = rng.pick(&[
            OnCongestion::Block,
            OnCongestion::PullAhead,
            OnCongestion::PullAhead,
            OnCongestion::PullAhead,
            OnCongestion::Disconnect,
        ]);
        options.cong_fill_sectors = rng.pick(&[0, 1, 30, 100, 400]);
        options.cong_extents = 1 + rng.below(8) as u32;
        let options = *options;
        self.set_peer_options(options);
    }

    fn set_peer_options(&mut self, options: PeerOptions) {
        let told = matches!(self.phase, Phase::Joined(_));
        for vol in &mut self.vols {
            vol.volume.set_peer_options(options);
            if told {
                vol.volume.send_sync_param(&mut self.queues);
            }
            vol.after();
        }
    }

    /// Rates that are slow enough to be felt, and fast enough for a story to end.
    fn draw_pace(&mut self, rng: &mut Rng) {
        let options = &mut self.peer_options;
        options.c_plan_ahead_ds = rng.pick(&[0, 1, 20, 20]);
        options.resync_rate_kib = rng.pick(&[1000, 5000, 100_000]);
        options.c_max_rate_kib = rng.pick(&[0, 2000, 102_400]);
        options.c_min_rate_kib = rng.pick(&[0, 250, 250, 4000]);
        options.c_fill_target_sectors = rng.pick(&[0, 100, 2000]);
        options.c_delay_target_ds = rng.pick(&[1, 10]);
    }

    /// The administrator takes limits of the resync's rate back.
    pub(crate) fn hurry(&mut self) {
        let defaults = PeerOptions::default();
        self.set_peer_options(PeerOptions {
            c_plan_ahead_ds: defaults.c_plan_ahead_ds,
            resync_rate_kib: defaults.resync_rate_kib,
            c_max_rate_kib: defaults.c_max_rate_kib,
            c_min_rate_kib: defaults.c_min_rate_kib,
            c_fill_target_sectors: defaults.c_fill_target_sectors,
            c_delay_target_ds: defaults.c_delay_target_ds,
            ..self.peer_options
        });
    }

    pub(crate) fn set_read_balancing(&mut self, policy: ReadBalancing) {
        for vol in &mut self.vols {
            vol.options.read_balancing = policy;
            vol.volume.set_disk_options(vol.options);
        }
    }

    /// Mind that a crash without a log costs a full resync.
    fn set_al_updates(&mut self, on: bool) {
        for vol in &mut self.vols {
            vol.options.al_updates = on;
            vol.volume.set_disk_options(vol.options);
            vol.after();
        }
    }

    fn set_thin(&mut self, sectors: u32) {
        for vol in &mut self.vols {
            vol.options.rs_discard_sectors = sectors;
            vol.volume.set_disk_options(vol.options);
        }
    }

    /// Protocol `protocol` counts for what is written from here on.
    fn adopt_protocol(&mut self, protocol: ReplicationProtocol) {
        self.protocol = protocol;
        for vol in &mut self.vols {
            vol.volume.set_protocol(protocol);
            // What the model expects of writes under way counts no more.
            vol.changes += 1;
        }
    }

    /// P_PROTOCOL_UPDATE.
    pub(crate) fn protocol_updated(&mut self, told: Protocol) {
        self.adopt_protocol(told.protocol);
    }
}

impl World {
    /// net-options on node `n`, while both are connected. If the connection is lost before the peer
    /// hears of it the administrator sets it there before they meet again.
    pub(crate) fn switch_protocol(&mut self, n: usize, protocol: ReplicationProtocol) {
        let connected = |node: &Node| {
            let all = node
                .vols
                .iter()
                .all(|vol| vol.volume.state().conn >= Conn::Connected);
            node.up && all && matches!(node.phase, Phase::Joined(_))
        };
        let same = self.nodes[0].phase == self.nodes[1].phase;
        if !same || !self.nodes.iter().all(connected) {
            return;
        }
        self.protocol = Some(protocol);
        let node = &mut self.nodes[n];
        node.adopt_protocol(protocol);
        let told = node.own_protocol();
        let _ = node.queues.control(0, Packet::ProtocolUpdate(told));
    }
}

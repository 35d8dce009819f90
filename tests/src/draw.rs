// SPDX-License-Identifier: GPL-2.0-or-later
//! Options as the dice say.

use anyhow::Result;

use crate::{Cluster, Config};

/// Of each row one is picked; what is empty is left out. Both nodes have to have the same.
const NET: [&[&str]; 13] = [
    &["protocol A", "protocol B", "protocol C"],
    &[
        "",
        "max-epoch-size 1",
        "max-epoch-size 30",
        "max-epoch-size 20000",
    ],
    &["", "max-buffers 32", "max-buffers 256", "max-buffers 20000"],
    &["", "unplug-watermark 1", "unplug-watermark 4000"],
    &["", "sndbuf-size 64k", "sndbuf-size 4M"],
    &["", "rcvbuf-size 64k", "rcvbuf-size 4M"],
    &["", "tcp-cork no"],
    &["", "use-rle no"],
    &[
        "",
        "data-integrity-alg crc32c",
        "data-integrity-alg sha1",
        "data-integrity-alg md5",
    ],
    // fio begins a block with its CRC: to crc32c all of them are equal.
    &["", "csums-alg sha1", "csums-alg md5"],
    &["verify-alg crc32c", "verify-alg sha1", "verify-alg md5"],
    &["", "always-asbp yes"],
    &["ping-int 2", "ping-int 10"],
];

/// Only with protocol A.
const CONGESTION: [&str; 3] = [
    "",
    "on-congestion pull-ahead; congestion-fill 256k",
    "on-congestion pull-ahead; congestion-extents 67",
];

/// Only for a connection that is made anew: nodes that disagree do not find each other.
const SECRET: [&str; 3] = [
    "",
    "cram-hmac-alg sha1; shared-secret word",
    "cram-hmac-alg sha256; shared-secret word",
];

/// As [`NET`], for each node.
const DISK: [&[&str]; 10] = [
    &["", "disk-barrier yes"],
    &["", "al-extents 67", "al-extents 257"],
    &["", "al-updates no"],
    &[
        "",
        "c-plan-ahead 0; resync-rate 8M",
        "c-plan-ahead 5; c-fill-target 1M",
        "c-delay-target 30",
    ],
    &["c-min-rate 4M", "c-min-rate 0"],
    &[
        "",
        "rs-discard-granularity 64k",
        "rs-discard-granularity 1M",
    ],
    &["", "discard-zeroes-if-aligned no"],
    &["", "disable-write-same yes"],
    &["", "disk-timeout 300"],
    &[
        "",
        "read-balancing round-robin",
        "read-balancing 64K-striping",
    ],
];

/// With one of these, what a disk loses with its power is lost.
const CARELESS: [&[&str]; 3] = [
    &["", "disk-flushes no"],
    &["", "disk-drain no"],
    &["", "md-flushes no"],
];

/// What a drawn configuration may have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draw<'a> {
    /// Options that trust a disk to keep what it has acknowledged.
    pub careless: bool,
    /// A shared secret, or none; otherwise there is none.
    pub secret: bool,
    /// Lines of the `net` section that are in it whatever the dice say. A protocol among them is the one.
    pub net: &'a [&'a str],
}

/// Lines of a section: `;` parts those that belong together.
fn picked(dice: &mut fastrand::Rng, rows: &[&[&str]]) -> Vec<String> {
    let rows = rows.iter().filter_map(|row| dice.choice(row.iter()));
    let lines = rows.flat_map(|row| row.split("; "));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

impl Draw<'_> {
    /// Draws options for each of two nodes of which the rest is `base`, and tells which.
    pub fn draw(&self, base: &Config, dice: &mut fastrand::Rng) -> [Config; 2] {
        let mut net = picked(dice, &NET);
        let set = |name: &str| self.net.iter().any(|line| line.starts_with(name));
        net.retain(|line| !(set("protocol ") && line.starts_with("protocol ")));
        net.extend(self.net.iter().map(|&line| line.to_owned()));
        if net.iter().any(|line| line == "protocol A") {
            net.extend(picked(dice, &[&CONGESTION]));
        }
        if self.secret {
            net.extend(picked(dice, &[&SECRET]));
        }
        println!("    net: {}", net.join("; "));
        [(), ()].map(|()| {
            let mut disk = picked(dice, &DISK);
            if self.careless {
                disk.extend(picked(dice, &CARELESS));
            }
            println!("    disk: {}", disk.join("; "));
            Config {
                net: net.clone(),
                disk,
                options: vec!["on-no-data-accessible suspend-io".to_owned()],
                ..base.clone()
            }
        })
    }

    /// Gives both nodes of a cluster a drawn configuration, which is not in effect yet.
    ///
    /// # Errors
    ///
    /// If a node is gone.
    pub fn configure(&self, cluster: &Cluster, dice: &mut fastrand::Rng) -> Result<[Config; 2]> {
        let configs = self.draw(cluster.config(), dice);
        for (side, config) in cluster.sides().into_iter().zip(&configs) {
            cluster.configure(side, config)?;
        }
        Ok(configs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_not_drawn() {
        let draw = Draw {
            net: &["protocol C", "allow-two-primaries yes"],
            ..Draw::default()
        };
        for seed in 0..100 {
            let [one, two] = draw.draw(&Config::default(), &mut fastrand::Rng::with_seed(seed));
            let protocols = one.net.iter().filter(|line| line.starts_with("protocol "));
            assert_eq!(protocols.collect::<Vec<_>>(), ["protocol C"]);
            assert_eq!(one.net, two.net);
            let all = [one.net, one.disk, two.disk].concat();
            for rare in ["shared-secret", "on-congestion", "-flushes no"] {
                assert!(!all.iter().any(|line| line.contains(rare)), "{all:?}");
            }
        }
    }

    #[test]
    fn every_line_is_drawn_some_time() {
        let draw = Draw {
            careless: true,
            secret: true,
            net: &[],
        };
        let drawn: Vec<String> = (0..200)
            .flat_map(|seed| draw.draw(&Config::default(), &mut fastrand::Rng::with_seed(seed)))
            .flat_map(|config| [config.net, config.disk].concat())
            .collect();
        let rows = NET.iter().chain(&DISK).chain(&CARELESS).copied();
        for line in rows.chain([&CONGESTION[..], &SECRET]).flatten() {
            for part in line.split("; ").filter(|part| !part.is_empty()) {
                assert!(drawn.iter().any(|line| line == part), "{part}");
            }
        }
    }
}

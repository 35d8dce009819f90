// SPDX-License-Identifier: GPL-2.0-or-later
//! Recorded requests, sent to the module of a cluster in the states they were recorded in.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use anyhow::{ensure, Result};

use crate::golden::{compare, fit, Exchange, Recordings, PLAYER};
use crate::{Cluster, Side};

/// A request that is refused for what the module does not have.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// File and number of the request in it.
    pub request: (&'static str, usize),
    /// The code it gets.
    pub code: i32,
    /// A piece of the sentence that says why.
    pub words: &'static str,
    /// Why that is right.
    pub reason: &'static str,
}

/// Some recordings, and how they differ from what is seen here.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Folder in `core/tests/golden`.
    pub folder: &'static str,
    /// Addresses of the two nodes.
    pub addresses: [[u8; 4]; 2],
    /// Texts, and those of the same length in their place.
    pub texts: &'static [(&'static str, &'static str)],
    /// Attributes that are not compared, and why.
    pub of_the_run: &'static [(&'static str, &'static str)],
    /// Requests with another answer.
    pub refused: &'static [Refused],
    /// Files in which nothing is asked.
    pub silent: &'static [&'static str],
}

/// File, number of the request in it, and the exchange.
type Recorded = (String, usize, Exchange);

/// A run through all recordings of a world; alpha sends the requests.
pub struct Play<'a> {
    cluster: &'a Cluster,
    world: &'a World,
    recordings: Recordings,
    played: BTreeSet<String>,
    count: usize,
    differences: Vec<String>,
}

impl<'a> Play<'a> {
    /// Puts the player on both nodes.
    ///
    /// # Errors
    ///
    /// If there are no recordings, or a node does not answer.
    pub fn new(cluster: &'a Cluster, world: &'a World, player: &str) -> Result<Play<'a>> {
        for side in cluster.sides() {
            side.node.put_file(Path::new(player), PLAYER)?;
            side.sh(&format!("chmod 755 {PLAYER}"))?;
        }
        Ok(Play {
            cluster,
            world,
            recordings: Recordings::open(world.folder)?,
            played: BTreeSet::new(),
            count: 0,
            differences: Vec::new(),
        })
    }

    /// Both nodes.
    #[must_use]
    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// The node that sends the requests.
    #[must_use]
    pub fn alpha(&self) -> &'a Side {
        &self.cluster.alpha
    }

    /// Its peer.
    #[must_use]
    pub fn beta(&self) -> &'a Side {
        &self.cluster.beta
    }

    /// Sends everything of a file.
    ///
    /// # Errors
    ///
    /// If a request is not answered at all; differences are collected.
    pub fn file(&mut self, file: &str) -> Result<()> {
        self.files(&[file])
    }

    /// Sends everything of some files without a pause between them.
    ///
    /// # Errors
    ///
    /// As [`Play::file`].
    pub fn files(&mut self, files: &[&str]) -> Result<()> {
        let mut list = Vec::new();
        for file in files {
            list.extend(self.exchanges(file, 0..usize::MAX)?);
        }
        self.send(&list, self.alpha(), "")
    }

    /// Sends some requests of a file; `before` is put in front of the player's command line.
    ///
    /// # Errors
    ///
    /// As [`Play::file`].
    pub fn part(
        &mut self,
        file: &str,
        range: Range<usize>,
        side: &Side,
        before: &str,
    ) -> Result<()> {
        let list = self.exchanges(file, range)?;
        self.send(&list, side, before)
    }

    /// Exchanges of a file with their numbers, as they would be here.
    fn exchanges(&self, file: &str, range: Range<usize>) -> Result<Vec<Recorded>> {
        let numbered = self.recordings.exchanges(file)?.into_iter().enumerate();
        let list: Vec<Recorded> = numbered
            .filter(|(at, _)| range.contains(at))
            .map(|(at, mut exchange)| {
                self.fit(&mut exchange);
                (file.to_owned(), at, exchange)
            })
            .collect();
        ensure!(!list.is_empty(), "{file} has no such requests");
        Ok(list)
    }

    fn send(&mut self, list: &[Recorded], side: &Side, before: &str) -> Result<()> {
        let requests: Vec<Vec<u8>> = list.iter().map(|one| one.2.request.clone()).collect();
        let found = self.recordings.play(&side.node, before, &requests)?;
        for ((file, at, recorded), found) in list.iter().zip(&found) {
            self.judge(file, *at, recorded, found);
            self.played.insert(file.clone());
        }
        self.count += list.len();
        Ok(())
    }

    fn judge(&mut self, file: &str, at: usize, recorded: &Exchange, found: &Exchange) {
        let mut refused = self.world.refused.iter();
        let list = match refused.find(|one| one.request == (file, at)) {
            Some(refused) => self.judge_refusal(refused, found),
            None => compare(&self.recordings, recorded, found, self.world.of_the_run),
        };
        for difference in list {
            println!("    {file} {at}: {difference}");
            self.differences.push(format!("{file} {at}: {difference}"));
        }
    }

    fn judge_refusal(&self, refused: &Refused, found: &Exchange) -> Vec<String> {
        let facts = found
            .answers
            .last()
            .map(|bytes| self.recordings.facts(bytes));
        let named = facts.as_ref().is_some_and(|facts| {
            let said = facts.texts.iter().any(|text| text.contains(refused.words));
            facts.code == Some(refused.code) && said
        });
        match named {
            true => Vec::new(),
            false => vec![format!("{facts:?}, not {refused:?}")],
        }
    }

    /// Puts what is here in the place of what was recorded.
    fn fit(&self, exchange: &mut Exchange) {
        let sides = self.cluster.sides();
        let here = sides.map(|side| side.node.ip(0).octets());
        let messages = exchange.answers.iter_mut().chain([&mut exchange.request]);
        for message in messages {
            for (recorded, here) in self.world.addresses.iter().zip(&here) {
                fit(message, recorded, here);
            }
            for (recorded, here) in self.world.texts {
                fit(message, recorded.as_bytes(), here.as_bytes());
            }
        }
    }

    /// All files have been played, and nothing differs.
    ///
    /// # Errors
    ///
    /// With everything that does.
    pub fn end(self) -> Result<()> {
        let files: BTreeSet<String> = self.recordings.files()?.into_iter().collect();
        let left: Vec<&String> = files
            .difference(&self.played)
            .filter(|file| !self.world.silent.contains(&file.as_str()))
            .collect();
        println!(
            "{} requests of {} files, {} differences",
            self.count,
            self.played.len(),
            self.differences.len()
        );
        ensure!(left.is_empty(), "not played: {left:?}");
        let list = self.differences.join("\n");
        ensure!(self.differences.is_empty(), "{list}");
        Ok(())
    }
}

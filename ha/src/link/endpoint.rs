// SPDX-License-Identifier: GPL-2.0-or-later
//! Greetings, sessions and counters of one node, without sockets and without a clock (failover.md section 6.1).
//!
//! Two nodes make a session of a nonce of each: a node believes a greeting only when it repeats the nonce that this life has
//! just made, so nothing that was recorded in an earlier life of either of them is ever taken for news. Within a session each
//! number is taken once, whichever link it comes by first.

use std::collections::BTreeMap;
use std::time::Duration;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce as CipherNonce};
use zeroize::Zeroizing;

use super::counters::{Reason, Refused};
use super::frame::{self, Frame, Greeting, Kind, Nonce, MESSAGE_BYTES_MAX};
use super::keys::{Key, Keys};
use super::window::{Verdict, Window};

/// Between two greetings of a node that is not answered.
const GREET_EVERY: Duration = Duration::from_millis(250);
/// Between two greetings of a node that is: they measure the round trip.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Greetings that are looked at, per second, node and link.
const GREETINGS_PER_SECOND: f64 = 10.0;

/// Something to send on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Receiver.
    pub to: u8,
    /// Index of the link.
    pub link: usize,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A message that is authentic and that nobody has seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Sender.
    pub from: u8,
    /// Its life.
    pub incarnation: u64,
    /// What it says.
    pub message: Vec<u8>,
}

/// A link to a node, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkFacts {
    /// When something authentic came last.
    pub heard: Option<Duration>,
    /// The last round trip.
    pub round_trip: Option<Duration>,
    /// Of the last messages, those that did not come, in per mille.
    pub loss_permille: u32,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Authentic datagrams that came.
    pub received: u64,
}

/// What a message is too long for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a message of {0} bytes does not fit a datagram: {MESSAGE_BYTES_MAX} are possible")]
pub struct TooLong(pub usize);

struct Session {
    incarnation: u64,
    generation: u32,
    nonce: Nonce,
    key: u8,
    id: u32,
    send: ChaCha20Poly1305,
    receive: ChaCha20Poly1305,
    seen: Window,
}

#[derive(Default)]
struct Bucket {
    used: f64,
    at: Duration,
}

impl Bucket {
    fn has_room(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.used = (self.used - passed * GREETINGS_PER_SECOND).max(0.0);
        if self.used + 1.0 > GREETINGS_PER_SECOND {
            return false;
        }
        self.used += 1.0;
        true
    }
}

#[derive(Default)]
struct Link {
    facts: LinkFacts,
    seen: Window,
    bucket: Bucket,
    greeted: Option<Duration>,
    /// The time in the last greeting that was answered by this link.
    answered: Option<u64>,
}

struct Peer {
    session: Option<Session>,
    /// The key that its last authentic greeting was made with.
    key: Option<u8>,
    /// Counts messages for the whole life of this daemon, whatever becomes of sessions.
    sent: u64,
    links: Vec<Link>,
}

/// One node's end of all links.
pub struct Endpoint {
    me: u8,
    cluster: String,
    incarnation: u64,
    generation: u32,
    nonce: Nonce,
    keys: Keys,
    peers: BTreeMap<u8, Peer>,
    refused: Refused,
}

impl Endpoint {
    /// Of node `me` in that life of its daemon; `peers` and the number of links to each; `nonce` is fresh from the system.
    #[must_use]
    pub fn new(
        cluster: &str,
        me: u8,
        incarnation: u64,
        keys: Keys,
        nonce: [u8; 16],
        peers: impl IntoIterator<Item = (u8, usize)>,
    ) -> Self {
        let peer = |(id, links): (u8, usize)| {
            let peer = Peer {
                session: None,
                key: None,
                sent: 0,
                links: (0..links).map(|_| Link::default()).collect(),
            };
            (id, peer)
        };
        Endpoint {
            me,
            cluster: cluster.to_owned(),
            incarnation,
            generation: 0,
            nonce,
            keys,
            peers: peers.into_iter().map(peer).collect(),
            refused: Refused::default(),
        }
    }

    /// Goes on with other keys; `nonce` is fresh.
    pub fn set_keys(
        &mut self,
        keys: Keys,
        nonce: [u8; 16],
        now: Duration,
        out: &mut Vec<Datagram>,
    ) {
        self.keys = keys;
        self.nonce = nonce;
        self.generation = self.generation.saturating_add(1);
        for peer in self.peers.values_mut() {
            peer.session = None;
            for link in &mut peer.links {
                link.greeted = None;
            }
        }
        self.tick(now, out);
    }

    /// What was thrown away.
    #[must_use]
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Counts what was thrown away before it came here.
    pub fn refuse(&mut self, reason: Reason) {
        self.refused.count(reason);
    }

    /// The links to a node.
    #[must_use]
    pub fn links(&self, peer: u8) -> Vec<LinkFacts> {
        let links = self.peers.get(&peer).map(|peer| peer.links.iter());
        links
            .into_iter()
            .flatten()
            .map(|link| LinkFacts {
                loss_permille: link.seen.loss_permille(),
                ..link.facts
            })
            .collect()
    }

    /// Greets whom it is time to greet; call it about every keepalive.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Datagram>) {
        let peers: Vec<u8> = self.peers.keys().copied().collect();
        for peer in peers {
            self.greet(peer, now, false, out);
        }
    }

    fn greet(&mut self, to: u8, now: Duration, at_once: bool, out: &mut Vec<Datagram>) {
        let Some(peer) = self.peers.get_mut(&to) else {
            return;
        };
        let pause = if at_once {
            // Greetings and answers must not chase each other.
            GREET_EVERY / 5
        } else if peer.session.is_none() {
            GREET_EVERY
        } else {
            PROBE_EVERY
        };
        let mut due = Vec::new();
        for (index, link) in peer.links.iter_mut().enumerate() {
            if link
                .greeted
                .is_none_or(|at| now.saturating_sub(at) >= pause)
            {
                link.greeted = Some(now);
                link.facts.sent += 1;
                due.push(index);
            }
        }
        if due.is_empty() {
            return;
        }
        // It may hold nothing but the next key already.
        let theirs = peer.key;
        let key = theirs.and_then(|id| self.keys.by_id(id));
        let key = key.unwrap_or_else(|| self.keys.current()).clone();
        let hello = Kind::Hello(self.greeting(micros(now)));
        let bytes = self.signed(key, to, hello);
        out.extend(due.into_iter().map(|link| Datagram {
            to,
            link,
            bytes: bytes.clone(),
        }));
    }

    fn greeting(&self, stamp: u64) -> Greeting {
        Greeting {
            incarnation: self.incarnation,
            generation: self.generation,
            nonce: self.nonce,
            next: self.keys.next().map(Key::id),
            stamp,
        }
    }

    fn signed(&self, key: Key, to: u8, kind: Kind) -> Vec<u8> {
        let mut bytes = frame::encode(&Frame {
            key: key.id(),
            from: self.me,
            to,
            kind,
        });
        let tag = key.sign(&self.cluster, &bytes);
        bytes.extend(tag);
        bytes
    }

    /// Encrypts a message once for all links to a node; nothing when there is no session.
    ///
    /// # Errors
    ///
    /// When it is too long for a datagram.
    pub fn send(&mut self, to: u8, message: &[u8], out: &mut Vec<Datagram>) -> Result<(), TooLong> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(TooLong(message.len()));
        }
        let me = self.me;
        let Some(peer) = self.peers.get_mut(&to) else {
            return Ok(());
        };
        let Some(session) = &peer.session else {
            return Ok(());
        };
        peer.sent += 1;
        let kind = Kind::Data {
            session: session.id,
            number: peer.sent,
        };
        let mut bytes = frame::encode(&Frame {
            key: session.key,
            from: me,
            to,
            kind,
        });
        let payload = Payload {
            msg: message,
            aad: &bytes,
        };
        let sealed = session.send.encrypt(&cipher_nonce(peer.sent), payload);
        // Fails for messages of more than 256 GiB only.
        let Ok(sealed) = sealed else {
            return Err(TooLong(message.len()));
        };
        bytes.extend(sealed);
        for (link, state) in peer.links.iter_mut().enumerate() {
            state.facts.sent += 1;
            out.push(Datagram {
                to,
                link,
                bytes: bytes.clone(),
            });
        }
        Ok(())
    }

    /// Takes what came on a link from an address that the configuration gives to node `from`.
    pub fn receive(
        &mut self,
        from: u8,
        link: usize,
        bytes: &[u8],
        now: Duration,
        out: &mut Vec<Datagram>,
    ) -> Option<Received> {
        match self.take(from, link, bytes, now, out) {
            Ok(received) => received,
            Err(reason) => {
                self.refused.count(reason);
                None
            }
        }
    }

    fn take(
        &mut self,
        from: u8,
        link: usize,
        bytes: &[u8],
        now: Duration,
        out: &mut Vec<Datagram>,
    ) -> Result<Option<Received>, Reason> {
        let (frame, head) = frame::decode(bytes).ok_or(Reason::Malformed)?;
        if frame.from != from || frame.to != self.me {
            return Err(Reason::UnknownNode);
        }
        let (text, tail) = bytes.split_at_checked(head).ok_or(Reason::Malformed)?;
        match frame.kind {
            Kind::Hello(greeting) => {
                self.check(&frame, link, text, tail, now)?;
                self.hello(&frame, link, &greeting, now, out)?;
                Ok(None)
            }
            Kind::Ack(greeting, echo) => {
                self.check(&frame, link, text, tail, now)?;
                self.ack(&frame, link, &greeting, echo, now)?;
                Ok(None)
            }
            Kind::Data { session, number } => {
                let wanted = (frame.from, session, number);
                let result = self.data(wanted, link, text, tail, now);
                if result == Err(Reason::NoSession) {
                    // It may not know that this is another life.
                    self.greet(from, now, false, out);
                }
                result
            }
        }
    }

    /// Whether a greeting is authentic.
    fn check(
        &mut self,
        frame: &Frame,
        link: usize,
        text: &[u8],
        tag: &[u8],
        now: Duration,
    ) -> Result<(), Reason> {
        let peer = self.peers.get_mut(&frame.from);
        let link = peer.and_then(|peer| peer.links.get_mut(link));
        let link = link.ok_or(Reason::UnknownNode)?;
        if !link.bucket.has_room(now) {
            return Err(Reason::Flood);
        }
        let key = self.keys.by_id(frame.key).ok_or(Reason::WrongKey)?;
        if !key.verify(&self.cluster, text, tag) {
            return Err(Reason::Forged);
        }
        Ok(())
    }

    /// An authentic greeting, which may be old: it is answered, and believed in by nobody.
    fn hello(
        &mut self,
        frame: &Frame,
        link: usize,
        greeting: &Greeting,
        now: Duration,
        out: &mut Vec<Datagram>,
    ) -> Result<(), Reason> {
        let Some(key) = self.keys.by_id(frame.key).cloned() else {
            return Err(Reason::WrongKey);
        };
        let ours = self.greeting(greeting.stamp);
        let bytes = self.signed(key, frame.from, Kind::Ack(ours, greeting.nonce));
        let peer = self.peers.get_mut(&frame.from).ok_or(Reason::UnknownNode)?;
        peer.key = Some(frame.key);
        let known = peer.session.as_ref();
        let known = known.map(|session| (session.incarnation, session.generation, session.nonce));
        if known.is_some_and(|(i, g, _)| (greeting.incarnation, greeting.generation) < (i, g)) {
            return Err(Reason::Stale);
        }
        if let Some(link) = peer.links.get_mut(link) {
            link.facts.sent += 1;
        }
        out.push(Datagram {
            to: frame.from,
            link,
            bytes,
        });
        if known.is_none_or(|(_, _, nonce)| nonce != greeting.nonce) {
            self.greet(frame.from, now, true, out);
        }
        Ok(())
    }

    /// An answer: fresh if it repeats what this node has just said.
    fn ack(
        &mut self,
        frame: &Frame,
        link: usize,
        greeting: &Greeting,
        echo: Nonce,
        now: Duration,
    ) -> Result<(), Reason> {
        if echo != self.nonce {
            return Err(Reason::Stale);
        }
        let key = self.best_key(greeting, frame.key).ok_or(Reason::WrongKey)?;
        let me = (self.me, self.incarnation, self.nonce);
        let peer = self.peers.get_mut(&frame.from).ok_or(Reason::UnknownNode)?;
        // Repeated by somebody, it would make a dead link look alive.
        let answered = peer.links.get(link).and_then(|link| link.answered);
        if answered.is_some_and(|before| greeting.stamp <= before) {
            return Err(Reason::Replayed);
        }
        let theirs = (greeting.incarnation, greeting.generation);
        match &peer.session {
            Some(known) if theirs < (known.incarnation, known.generation) => {
                return Err(Reason::Stale);
            }
            // A life has one nonce at a time.
            Some(known)
                if theirs == (known.incarnation, known.generation)
                    && known.nonce != greeting.nonce =>
            {
                return Err(Reason::Stale);
            }
            Some(known) if known.nonce == greeting.nonce && known.key == key.id() => {}
            Some(_) | None => {
                let them = (frame.from, greeting.incarnation, greeting.nonce);
                let session = session(&key, &self.cluster, me, them, greeting.generation);
                peer.session = Some(session);
                for link in &mut peer.links {
                    link.seen = Window::default();
                }
            }
        }
        if let Some(link) = peer.links.get_mut(link) {
            link.answered = Some(greeting.stamp);
            link.facts.heard = Some(now);
            link.facts.received += 1;
            let back = micros(now).checked_sub(greeting.stamp);
            link.facts.round_trip = back.map(Duration::from_micros);
        }
        Ok(())
    }

    /// The next key as soon as both hold it; until then the one of the greeting.
    fn best_key(&self, greeting: &Greeting, used: u8) -> Option<Key> {
        let both = self
            .keys
            .next()
            .filter(|next| greeting.next == Some(next.id()) || used == next.id());
        both.or_else(|| {
            // This node has only the new one, the other one has it as its next.
            let current = self.keys.current();
            (greeting.next == Some(current.id())).then_some(current)
        })
        .or_else(|| self.keys.by_id(used))
        .cloned()
    }

    fn data(
        &mut self,
        (from, id, number): (u8, u32, u64),
        link: usize,
        head: &[u8],
        sealed: &[u8],
        now: Duration,
    ) -> Result<Option<Received>, Reason> {
        let peer = self.peers.get_mut(&from).ok_or(Reason::UnknownNode)?;
        let session = peer.session.as_mut().filter(|session| session.id == id);
        let session = session.ok_or(Reason::NoSession)?;
        let link = peer.links.get_mut(link).ok_or(Reason::UnknownNode)?;
        if link.seen.look(number) != Verdict::New {
            return Err(Reason::Replayed);
        }
        let payload = Payload {
            msg: sealed,
            aad: head,
        };
        let message = session.receive.decrypt(&cipher_nonce(number), payload);
        let message = message.map_err(|_| Reason::Forged)?;
        link.seen.take(number);
        link.facts.heard = Some(now);
        link.facts.received += 1;
        // By another link it may have come before.
        if session.seen.look(number) != Verdict::New {
            return Ok(None);
        }
        session.seen.take(number);
        Ok(Some(Received {
            from,
            incarnation: session.incarnation,
            message,
        }))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Each number is used once with a key, so it is all that the nonce needs.
fn cipher_nonce(number: u64) -> CipherNonce {
    let mut nonce = CipherNonce::default();
    let bytes = [0, 0, 0, 0].into_iter().chain(number.to_le_bytes());
    for (to, from) in nonce.iter_mut().zip(bytes) {
        *to = from;
    }
    nonce
}

type Party = (u8, u64, Nonce);

fn session(key: &Key, cluster: &str, me: Party, them: Party, generation: u32) -> Session {
    let (low, high) = if me.0 < them.0 {
        (me, them)
    } else {
        (them, me)
    };
    let salt = [low.2, high.2].concat();
    let both = [low.1.to_le_bytes(), high.1.to_le_bytes()].concat();
    let derive = |what: &[u8], from: u8, to: u8, out: &mut [u8]| {
        let ends = [from, to];
        key.derive(&salt, &[what, &ends, &both, cluster.as_bytes()], out);
    };
    let cipher = |from: u8, to: u8| {
        let mut secret = Zeroizing::new([0_u8; 32]);
        derive(b"data", from, to, &mut *secret);
        ChaCha20Poly1305::new((&*secret).into())
    };
    let mut id = [0_u8; 4];
    derive(b"session", low.0, high.0, &mut id);
    Session {
        incarnation: them.1,
        generation,
        nonce: them.2,
        key: key.id(),
        id: u32::from_le_bytes(id),
        send: cipher(me.0, them.0),
        receive: cipher(them.0, me.0),
        seen: Window::default(),
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;

// SPDX-License-Identifier: GPL-2.0-or-later
//! The UDP sockets of this node's links, and who is behind which address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::endpoint::Datagram;
use super::frame::DATAGRAM_BYTES_MAX;

/// Datagrams that wait for the core: far more than a cluster says at once. What comes while it is full is lost, as on a
/// network.
const WAITING_MAX: usize = 1024;

/// A link that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the link {address}: {error}\n  is the address this node's?  ip address show; it is tried again every second")]
pub struct LinkError {
    /// Its address here.
    pub address: SocketAddr,
    /// Why.
    pub error: std::io::Error,
}

/// Whose address is which.
#[derive(Debug, Clone, Default)]
pub struct Map {
    by_address: BTreeMap<SocketAddr, (u8, usize)>,
    by_node: BTreeMap<u8, Vec<SocketAddr>>,
}

impl Map {
    /// Of the nodes and their links.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = (u8, Vec<SocketAddr>)>) -> Self {
        let mut map = Map::default();
        for (node, links) in nodes {
            for (link, address) in links.iter().enumerate() {
                map.by_address.insert(*address, (node, link));
            }
            map.by_node.insert(node, links);
        }
        map
    }

    /// Node and link of an address.
    #[must_use]
    pub fn node(&self, address: &SocketAddr) -> Option<(u8, usize)> {
        self.by_address.get(address).copied()
    }

    /// Address of a node's link.
    #[must_use]
    pub fn address(&self, node: u8, link: usize) -> Option<SocketAddr> {
        self.by_node.get(&node)?.get(link).copied()
    }
}

/// A datagram that came.
#[derive(Debug)]
pub struct Arrived {
    /// Link of this node that it came to.
    pub link: usize,
    /// Where it says it comes from.
    pub from: SocketAddr,
    /// All of it.
    pub bytes: Vec<u8>,
}

struct Slot {
    address: SocketAddr,
    /// Who sends, and who reads: the same socket.
    open: Option<(std::net::UdpSocket, JoinHandle<()>)>,
    /// Somebody was told that it can't be opened.
    told: bool,
}

/// The sockets. Belongs to one runtime.
pub struct Sockets {
    slots: Vec<Slot>,
    map: Map,
    arrivals: mpsc::Sender<Arrived>,
}

impl Sockets {
    /// For links with these addresses here. Nothing is open before [`Sockets::open`].
    #[must_use]
    pub fn new(addresses: &[SocketAddr], map: Map) -> (Self, mpsc::Receiver<Arrived>) {
        let (arrivals, receiver) = mpsc::channel(WAITING_MAX);
        let slot = |address: &SocketAddr| Slot {
            address: *address,
            open: None,
            told: false,
        };
        let sockets = Sockets {
            slots: addresses.iter().map(slot).collect(),
            map,
            arrivals,
        };
        (sockets, receiver)
    }

    /// Opens what is not open: an interface may get its address later than this daemon starts. Tells each failure once.
    pub fn open(&mut self) -> Vec<LinkError> {
        let mut errors = Vec::new();
        for (link, slot) in self.slots.iter_mut().enumerate() {
            if slot.open.is_some() {
                continue;
            }
            match bind(slot.address) {
                Ok((sender, receiver)) => {
                    let reader = read(receiver, link, self.arrivals.clone());
                    slot.open = Some((sender, tokio::spawn(reader)));
                    slot.told = false;
                }
                Err(error) if !slot.told => {
                    slot.told = true;
                    let address = slot.address;
                    errors.push(LinkError { address, error });
                }
                Err(_) => {}
            }
        }
        errors
    }

    /// Links that are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.slots.iter().filter(|slot| slot.open.is_some()).count()
    }

    /// Who is behind an address.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Sends; what the network does not take at once is lost, as it may be on the way.
    pub fn send(&self, datagram: &Datagram) {
        let slot = self.slots.get(datagram.link);
        let socket = slot.and_then(|slot| slot.open.as_ref());
        let address = self.map.address(datagram.to, datagram.link);
        if let (Some((socket, _)), Some(address)) = (socket, address) {
            // Nobody could do anything about an error: silence is what the core looks at.
            let _ = socket.send_to(&datagram.bytes, address);
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for slot in &self.slots {
            if let Some((_, reader)) = &slot.open {
                reader.abort();
            }
        }
    }
}

/// The runtime learns only later that a new socket can be written to, so sending goes past it.
fn bind(address: SocketAddr) -> std::io::Result<(std::net::UdpSocket, UdpSocket)> {
    let sender = std::net::UdpSocket::bind(address)?;
    sender.set_nonblocking(true)?;
    let receiver = UdpSocket::from_std(sender.try_clone()?)?;
    Ok((sender, receiver))
}

async fn read(socket: UdpSocket, link: usize, arrivals: mpsc::Sender<Arrived>) {
    // One byte more than may come, so that what is longer is seen to be.
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                let arrived = Arrived { link, from, bytes };
                if let Err(mpsc::error::TrySendError::Closed(_)) = arrivals.try_send(arrived) {
                    return;
                }
            }
            // An interface that went down: it may come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_go_from_link_to_link() {
        let any = |host: u8| SocketAddr::from(([127, 0, 0, host], 0));
        let free = |host| {
            std::net::UdpSocket::bind(any(host))
                .unwrap()
                .local_addr()
                .unwrap()
        };
        let (one, two) = (free(1), free(2));
        let map = Map::new([(1, vec![one]), (2, vec![two])]);
        let (mut first, _) = Sockets::new(&[one], map.clone());
        let (mut second, mut arrivals) = Sockets::new(&[two], map);
        assert!(first.open().is_empty() && second.open().is_empty());
        assert_eq!(first.open_count(), 1);
        first.send(&Datagram {
            to: 2,
            link: 0,
            bytes: b"text".to_vec(),
        });
        let arrived = arrivals.recv().await.unwrap();
        assert_eq!(arrived.bytes, b"text");
        assert_eq!(second.map().node(&arrived.from), Some((1, 0)));
    }

    #[tokio::test]
    async fn a_link_that_is_not_there_is_told_once_and_tried_again() {
        // TEST-NET-1 is nobody's.
        let address: SocketAddr = "192.0.2.1:7700".parse().unwrap();
        let (mut sockets, _arrivals) = Sockets::new(&[address], Map::default());
        let errors = sockets.open();
        assert!(errors[0].to_string().contains("192.0.2.1:7700"));
        assert!(sockets.open().is_empty());
        assert_eq!(sockets.open_count(), 0);
    }
}

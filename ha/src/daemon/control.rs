// SPDX-License-Identifier: GPL-2.0-or-later
//! The control socket, and what is answered on it.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::core::effect::Reply;
use crate::core::input::Control;
use crate::fence::Entry;
use crate::link::Reason;

use super::hands::Hands;
use super::heart::{Inbox, Snapshot};
use super::protocol::{Answer, LinkReport, Report, Request};

/// A request is short.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Opens the socket, for its owner only.
///
/// # Errors
///
/// When it can't be made, or another daemon listens on it.
pub(super) fn open(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let what = format!("another drbd-had listens on {}", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    match std::fs::symlink_metadata(path) {
        // One that died left it behind.
        Ok(facts) if facts.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            let what = format!("{} is there, and is no socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Made under a name of its own, so that nobody connects before the mode is right.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let listener = UnixListener::bind(&hidden)?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}

/// Serves until the daemon ends.
pub(super) async fn serve(
    hands: Arc<Hands>,
    listener: UnixListener,
    reload: mpsc::UnboundedSender<oneshot::Sender<Answer>>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(talk(Arc::clone(&hands), stream, reload.clone()));
            }
            Err(error) => {
                tracing::error!("control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn talk(
    hands: Arc<Hands>,
    stream: UnixStream,
    reload: mpsc::UnboundedSender<oneshot::Sender<Answer>>,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut lines).take(REQUEST_BYTES_MAX);
        match limited.read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => request,
            Err(error) => {
                let text = format!("not a request: {error}");
                let _ = say(&mut write, &Answer::Refused { text }).await;
                return;
            }
        };
        if request == Request::Watch {
            return watch(&hands, write).await;
        }
        // Who goes away while the core thinks is told to it, so that it stops thinking.
        let answer = tokio::select! {
            answer = answer(&hands, request, &reload) => answer,
            () = gone(&mut lines) => return,
        };
        if say(&mut write, &answer).await.is_err() {
            return;
        }
    }
}

/// Ends when the other side has closed; what it says meanwhile waits.
async fn gone(lines: &mut BufReader<OwnedReadHalf>) {
    if lines.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) {
        std::future::pending::<()>().await;
    }
}

async fn say(write: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write.write_all(&line).await
}

async fn watch(hands: &Hands, mut write: OwnedWriteHalf) {
    let mut events = hands.events.subscribe();
    loop {
        match events.recv().await {
            Ok(told) => {
                if say(&mut write, &Answer::Event(told)).await.is_err() {
                    return;
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn answer(
    hands: &Arc<Hands>,
    request: Request,
    reload: &mpsc::UnboundedSender<oneshot::Sender<Answer>>,
) -> Answer {
    let outfit = hands.outfit();
    match outfit.names.control(&request) {
        Err(text) => return Answer::Refused { text },
        Ok(Some(control)) => return ask(hands, &request, control).await,
        Ok(None) => {}
    }
    match request {
        Request::Status => match report(hands).await {
            Some(report) => Answer::Status(Box::new(report)),
            None => silent(),
        },
        Request::History => Answer::History {
            entries: hands.history(),
        },
        Request::Unfence { node } => match outfit.fencer.unfence(&node).await {
            Ok(()) => Answer::Done {
                text: format!("{node} is switched on"),
            },
            Err(text) => Answer::Refused { text },
        },
        Request::Devices => {
            let said = outfit.fencer.monitor().await.into_iter();
            let devices = said.map(|(name, result)| (name, result.err())).collect();
            Answer::Devices { devices }
        }
        Request::Reload => {
            let (sender, receiver) = oneshot::channel();
            // The other end lives as long as the daemon.
            let _ = reload.send(sender);
            receiver.await.unwrap_or_else(|_| silent())
        }
        other => Answer::Refused {
            text: format!("{other:?} is nothing to be answered"),
        },
    }
}

fn silent() -> Answer {
    Answer::Refused {
        text: "the core does not answer: journalctl -u drbd-had".to_owned(),
    }
}

async fn ask(hands: &Hands, request: &Request, control: Control) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let _ = hands.inbox.send(Inbox::Ask(control, sender));
    match receiver.await {
        Ok(Reply::Done(text)) => {
            if let Request::ConfirmFenced { node } = request {
                confirmed(hands, node);
            }
            Answer::Done { text }
        }
        Ok(Reply::Refused(text)) => Answer::Refused { text },
        Ok(Reply::FencePeer { code, reason }) => Answer::FencePeer { code, reason },
        Err(_) => silent(),
    }
}

/// An operator's word belongs into the history as well.
fn confirmed(hands: &Hands, node: &str) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    hands.remember(Entry {
        when: since.map_or(0, |since| since.as_secs()),
        target: node.to_owned(),
        devices: Vec::new(),
        ok: true,
        detail: "confirmed by an operator".to_owned(),
        by: hands.node.clone(),
        took_ms: 0,
    });
}

/// Everything at one moment; `None` when the core does not answer.
pub(super) async fn report(hands: &Hands) -> Option<Report> {
    let begun = Instant::now();
    let (sender, receiver) = oneshot::channel();
    hands.inbox.send(Inbox::Look(sender)).ok()?;
    let snapshot = tokio::time::timeout(LOOK_LIMIT, receiver)
        .await
        .ok()?
        .ok()?;
    if begun.elapsed() > Duration::from_secs(1) {
        tracing::warn!("the core took {} ms to answer", begun.elapsed().as_millis());
    }
    Some(of_snapshot(hands, snapshot))
}

fn of_snapshot(hands: &Hands, snapshot: Snapshot) -> Report {
    let outfit = hands.outfit();
    let deadtime_ms = outfit.config.file.timing().deadtime;
    let links = outfit.config.nodes().filter_map(|node| {
        let facts = snapshot.links.get(node.id.as_ref())?;
        let links = facts
            .iter()
            .zip(&node.links)
            .map(|((facts, age_ms), address)| {
                let round_trip = facts.round_trip.map(|time| time.as_micros());
                LinkReport {
                    address: address.as_ref().clone(),
                    up: age_ms.is_some_and(|age| age < deadtime_ms),
                    age_ms: *age_ms,
                    rtt_us: round_trip.and_then(|micros| u64::try_from(micros).ok()),
                    loss_permille: facts.loss_permille,
                    sent: facts.sent,
                    received: facts.received,
                }
            });
        Some((node.name.as_ref().clone(), links.collect()))
    });
    let refused = Reason::ALL.map(|reason| (reason.word().to_owned(), snapshot.refused.of(reason)));
    Report {
        version: 1,
        cluster: outfit.config.file.cluster.name.as_ref().clone(),
        node: hands.node.clone(),
        links: links.collect(),
        links_open: snapshot.links_open,
        refused: refused.into(),
        watchdog: snapshot.watchdog,
        stall_max_ms: snapshot.stall_max_ms,
        drbd: hands.drbd(),
        actions: hands.actions(),
        core: snapshot.status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_its_owners_and_takes_the_place_of_a_dead_one_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sock");
        let first = open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(path.exists());
        drop(open(&path).unwrap());
        let file = directory.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(
            open(&file).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"text");
    }
}

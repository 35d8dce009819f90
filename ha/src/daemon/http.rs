// SPDX-License-Identifier: GPL-2.0-or-later
//! The page of metrics over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::control::report;
use super::hands::Hands;
use super::metrics;

/// Connections at a time: one scraper or a few.
const CONNECTIONS_MAX: usize = 16;
const HEADER_LIMIT: Duration = Duration::from_secs(5);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until the daemon ends; an address that can't be used is told and tried again.
pub(super) async fn serve(hands: Arc<Hands>, address: SocketAddr) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!("metrics at http://{address}/metrics");
                accept(&hands, &listener, &slots).await;
            }
            Err(error) if !told => {
                told = true;
                tracing::error!("no metrics at {address}: {error}; it is tried again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

async fn accept(hands: &Arc<Hands>, listener: &TcpListener, slots: &Arc<Semaphore>) {
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let hands = Arc::clone(hands);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&hands), request));
            // A scraper that goes away is none of our business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(slot);
        });
    }
}

async fn answer(
    hands: Arc<Hands>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"));
    }
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "there is /metrics\n"));
    }
    let text = match report(&hands).await {
        Some(report) => metrics::page(&report, &hands.counters).ok(),
        None => None,
    };
    Ok(match text {
        Some(text) => {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            let kind = hyper::header::HeaderValue::from_static(OPEN_METRICS);
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        None => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the core does not answer\n",
        ),
    })
}

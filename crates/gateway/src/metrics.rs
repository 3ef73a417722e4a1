//! `/metrics`: the figures of the pool and of this server as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_pool::{Metric, MetricKind};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

use crate::App;

/// The content type of the Prometheus text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counts bytes of transfers.
#[derive(Clone, Default)]
pub(crate) struct ByteCounter(Arc<AtomicU64>);

impl ByteCounter {
    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The figures of this server.
#[derive(Default)]
pub(crate) struct HttpMetrics {
    /// By method, route template and status: as many as the routes times the
    /// answers they give, whatever clients send.
    requests: Mutex<BTreeMap<(&'static str, String, u16), u64>>,
    received: ByteCounter,
    sent: ByteCounter,
}

impl HttpMetrics {
    pub(crate) fn received(&self) -> ByteCounter {
        self.received.clone()
    }

    pub(crate) fn sent(&self) -> ByteCounter {
        self.sent.clone()
    }

    fn collect(&self, transfers: usize) -> Vec<Metric> {
        let plain = |name: &str, help: &str, kind, value| Metric {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            labels: Vec::new(),
            value,
        };
        let mut out: Vec<Metric> = Vec::new();
        for ((method, route, status), count) in &*self.requests.lock() {
            let labels = [("method", *method), ("route", route), ("status", &status.to_string())];
            out.push(Metric {
                labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
                ..plain(
                    "archipelago_http_requests_total",
                    "Requests answered.",
                    MetricKind::Counter,
                    *count as f64,
                )
            });
        }
        let bytes = |counter: &ByteCounter| counter.0.load(Ordering::Relaxed) as f64;
        out.push(plain(
            "archipelago_http_received_bytes_total",
            "Bytes of transfer streams received.",
            MetricKind::Counter,
            bytes(&self.received),
        ));
        out.push(plain(
            "archipelago_http_sent_bytes_total",
            "Bytes of transfer streams sent.",
            MetricKind::Counter,
            bytes(&self.sent),
        ));
        out.push(plain(
            "archipelago_http_transfers",
            "Uploads and downloads running now.",
            MetricKind::Gauge,
            transfers as f64,
        ));
        out
    }
}

/// All figures as text.
pub(crate) fn text(others: Vec<Metric>, http: &HttpMetrics, transfers: usize) -> String {
    let mut metrics = others;
    metrics.extend(http.collect(transfers));
    render(metrics)
}

/// The text format wants all samples of one name together, under one heading.
fn render(metrics: Vec<Metric>) -> String {
    let mut families: BTreeMap<String, Vec<Metric>> = BTreeMap::new();
    for metric in metrics {
        families.entry(metric.name.clone()).or_default().push(metric);
    }
    let mut out = String::new();
    for (name, samples) in families {
        let kind = match samples[0].kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let help = samples[0].help.replace('\\', "\\\\").replace('\n', "\\n");
        write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a String takes all");
        for sample in samples {
            let labels: Vec<String> = sample
                .labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(out, "{name}{labels} {}", sample.value).expect("a String takes all");
        }
    }
    out
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Counts answers, as a layer round all routes.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let key = (method, route, response.status().as_u16());
    *app.metrics.requests.lock().entry(key).or_default() += 1;
    response
}

#[cfg(test)]
mod tests;

//! From nothing to a running daemon, and back.

use std::path::PathBuf;
use std::sync::Arc;

use archipelago_block::{Counts, Limits, Listen, NbdServer, TlsConfig, TlsMode};
use archipelago_env::Env;
use archipelago_gateway::{BLOCKING_THREADS_MAX, Domains, Server, Stop};
use archipelago_pool::{self as pool, FirstAdmin, Metric, MetricKind, Service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, NbdAddress, TlsFiles, read_limited};
use crate::exports::PoolExports;
use crate::{ServeError, ServeOptions, log, ready};

/// Threads of the HTTP server. It only moves bytes between sockets and
/// channels; the work is done on blocking threads.
const HTTP_THREADS: usize = 2;

/// Blocking threads besides those of the gateway: for what this crate itself
/// waits for, one at a time.
const OWN_BLOCKING_THREADS: usize = 2;

/// How the process ends when it is told a second time to stop, or before it
/// was ready: at once. That is safe at any moment, as a crash is.
const STATUS_STOPPED_AT_ONCE: i32 = 1;

/// Runs the daemon until SIGTERM or SIGINT. A second signal ends the process
/// at once, which loses nothing that was acknowledged.
///
/// Once ready, the endpoints and then the line `ready` go to standard output;
/// log lines go to standard error.
///
/// # Errors
/// It did not start, or the store was not closed cleanly.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let config = Config::load(&options)?;
    log::start(config.log_format, &config.log_filter)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    raise_open_files();
    let tls = config.tls.as_ref().map(load_tls).transpose()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX + OWN_BLOCKING_THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    let signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(ServeError::Start)?
    };
    Daemon::start(&runtime, config, tls, signals)?.run(&runtime)
}

/// The two signals that say stop. From its creation on they do not kill the
/// process any more.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Ends the process without another step. Open files need no care: the store
/// is consistent at every instant, and the system gives up the lock.
fn exit_at_once(name: &str) -> ! {
    tracing::warn!(signal = name, "stopping at once; the next start recovers from the log");
    signal_hook::low_level::exit(STATUS_STOPPED_AT_ONCE)
}

struct Daemon {
    service: Arc<Service>,
    nbd: Arc<NbdServer>,
    http: Server,
    signals: Signals,
}

impl Daemon {
    fn start(
        runtime: &Runtime,
        config: Config,
        tls: Option<TlsConfig>,
        mut signals: Signals,
    ) -> Result<Self, ServeError> {
        let env = Env::real();
        let begun = env.clock().monotonic();
        let data = std::path::absolute(&config.data).map_err(ServeError::Start)?;
        let (service, first) = runtime.block_on(async {
            tokio::select! {
                opened = open(data.clone(), env.clone(), config.pool.clone()) => opened,
                name = signals.next() => exit_at_once(name),
            }
        })?;
        match service.accounts() {
            Ok(accounts) => {
                if let Some(warning) = config.warning_of_accounts(accounts.len()) {
                    tracing::warn!("{warning}");
                }
            }
            Err(error) => tracing::warn!(%error, "the accounts cannot be counted"),
        }
        let started = Self::start_servers(runtime, &config, tls, &env, &service);
        let (nbd, http) = match started {
            Ok(servers) => servers,
            Err(error) => {
                if let Err(error) = service.close() {
                    tracing::error!(%error, "the store was not closed cleanly");
                }
                return Err(error);
            }
        };
        let ms = env.clock().monotonic().saturating_sub(begun).as_millis() as u64;
        tracing::info!(ms, data = %data.display(), http = %http.address(), "ready");
        let out = &mut std::io::stdout();
        ready::announce(out, &data, http.address(), nbd.local_addrs(), first.as_ref());
        Ok(Self { service, nbd, http, signals })
    }

    fn start_servers(
        runtime: &Runtime,
        config: &Config,
        tls: Option<TlsConfig>,
        env: &Env,
        service: &Arc<Service>,
    ) -> Result<(Arc<NbdServer>, Server), ServeError> {
        let listen: Vec<Listen> = config.nbd.iter().map(listen_on).collect();
        let exports =
            Arc::new(PoolExports { service: Arc::clone(service), login: config.nbd_login });
        let nbd = NbdServer::start(env.clone(), exports, &listen, tls, Limits::default())
            .map_err(ServeError::Nbd)?;
        let nbd = Arc::new(nbd);
        let counted = Arc::clone(&nbd);
        let http = runtime
            .block_on(Server::bind(
                config.http,
                config.http_hosts.clone(),
                Domains::new(&config.s3_domains, &config.swift_domains),
                config.http_login,
                Arc::clone(service),
                Arc::new(move || nbd_metrics(&counted.counts(), counted.connections())),
            ))
            .map_err(|source| ServeError::Http { address: config.http, source })?;
        Ok((nbd, http))
    }

    /// Serves until a signal, then takes everything apart in order.
    fn run(self, runtime: &Runtime) -> Result<(), ServeError> {
        let Self { service, nbd, http, mut signals } = self;
        runtime.block_on(async {
            let stop = Stop::new();
            let serving = tokio::spawn(http.run(stop.clone()));
            let name = signals.next().await;
            tracing::info!(signal = name, "stopping; a second signal stops at once");
            stop.stop();
            let stopped = async {
                // Both at once: either may wait for its clients for a while.
                let nbd = tokio::task::spawn_blocking(move || nbd.stop());
                for outcome in [serving.await, nbd.await] {
                    if let Err(error) = outcome {
                        tracing::error!(%error, "a server ended by a panic");
                    }
                }
                close(service).await
            };
            tokio::select! {
                closed = stopped => closed,
                name = signals.next() => exit_at_once(name),
            }
        })
    }
}

async fn open(
    data: PathBuf,
    env: Env,
    config: pool::Config,
) -> Result<(Arc<Service>, Option<FirstAdmin>), ServeError> {
    let opening = move || {
        let service = Service::open(&data, env, config)?;
        // A disk that is full must not keep anybody from reading: the next start tries again.
        let first = service.found_admin().unwrap_or_else(|error| {
            tracing::warn!(%error, "the first administrator was not made; nobody can log in");
            None
        });
        Ok::<_, pool::Error>((service, first))
    };
    match tokio::task::spawn_blocking(opening).await {
        Ok(opened) => Ok(opened?),
        Err(panic) => Err(ServeError::Start(std::io::Error::other(panic))),
    }
}

async fn close(service: Arc<Service>) -> Result<(), ServeError> {
    match tokio::task::spawn_blocking(move || service.close()).await {
        Ok(Ok(())) => {
            tracing::info!("stopped; everything is durable");
            Ok(())
        }
        Ok(Err(error)) => Err(ServeError::Close(error)),
        Err(panic) => Err(ServeError::Start(std::io::Error::other(panic))),
    }
}

fn listen_on(address: &NbdAddress) -> Listen {
    match address {
        NbdAddress::Tcp(address) => Listen::Tcp(*address),
        NbdAddress::Unix(path) => Listen::Unix(path.clone()),
    }
}

fn load_tls(files: &TlsFiles) -> Result<TlsConfig, ServeError> {
    let cert = read_limited(&files.cert, "the TLS certificate")?;
    let key = read_limited(&files.key, "the TLS key")?;
    let client_ca = files.client_ca.as_ref();
    let client_ca = client_ca.map(|path| read_limited(path, "the TLS client CA")).transpose()?;
    let mode = if files.required { TlsMode::Required } else { TlsMode::Optional };
    Ok(TlsConfig::from_pem(&cert, &key, client_ca.as_deref(), mode)?)
}

/// Every connection and every segment in use is an open file; the usual soft
/// limit of 1024 is for programs that call select(2), which this one does not.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) =
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

fn nbd_metrics(counts: &Counts, connections: usize) -> Vec<Metric> {
    let metric = |name: &str, help: &str, kind, command: Option<&str>, value: u64| Metric {
        name: format!("archipelago_nbd_{name}"),
        help: help.to_owned(),
        kind,
        labels: command.map(|name| ("command".to_owned(), name.to_owned())).into_iter().collect(),
        value: value as f64,
    };
    let total =
        |name: &str, help: &str, value| metric(name, help, MetricKind::Counter, None, value);
    let mut out = vec![
        metric("connections", "Connections now.", MetricKind::Gauge, None, connections as u64),
        total("accepted_total", "Connections accepted.", counts.accepted),
        total("refused_total", "Connections over the limit.", counts.refused),
        total("malformed_total", "Connections closed for malformed input.", counts.malformed),
        total("tls_failures_total", "TLS handshakes that failed.", counts.tls_failures),
        total("syncs_total", "Flushes of the store; one may serve many requests.", counts.syncs),
    ];
    for of in &counts.commands {
        let counter = MetricKind::Counter;
        let command = Some(of.command);
        out.push(metric("requests_total", "Requests answered.", counter, command, of.requests));
        out.push(metric(
            "bytes_total",
            "Bytes of successful requests.",
            counter,
            command,
            of.bytes,
        ));
        out.push(metric(
            "errors_total",
            "Requests answered with an error.",
            counter,
            command,
            of.errors,
        ));
    }
    out
}

#[cfg(test)]
mod tests;

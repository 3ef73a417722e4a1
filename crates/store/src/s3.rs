//! Buckets of S3, wherever they are: AWS, RADOS gateway, Garage, MinIO...
//!
//! What a bucket makes of the contract is in [`crate::BucketStore`]. Secrets come from the
//! environment or from a file, never from arguments, and are in no message and no `Debug`.

mod credentials;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Env;
use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

pub use self::credentials::Credentials;
use crate::bucket::fault::WatchedConnector;
use crate::layer::Rates;
use crate::{BucketStore, StoreError};

/// A connection that is not there after this will not come.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What the signature is made for where nobody says; most servers besides AWS take any.
const REGION: &str = "us-east-1";

/// Where a bucket is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// What all names in it begin with; empty for the whole bucket.
    pub prefix: String,
    /// The server as `http://HOST:PORT` or `https://...`; `None` for AWS.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` where `None`.
    pub region: Option<String>,
    /// Whether the bucket's name is a part of the host's instead of the path.
    pub virtual_hosted: bool,
    /// Who we are.
    pub credentials: Credentials,
}

/// Opens a bucket for the store `owner`, with open segments in the folder `staging`. Requests keep
/// to `rates`.
///
/// # Errors
/// As [`BucketStore::open`]; [`StoreError::Unusable`] for settings that are none.
pub fn open(
    env: &Env,
    settings: &S3Settings,
    owner: &str,
    staging: &Path,
    rates: Rates,
) -> Result<BucketStore, StoreError> {
    let named = |error| settings.named(error);
    let bucket = client(settings).map_err(named)?;
    BucketStore::open(env, bucket, &settings.prefix, owner, staging, rates).map_err(named)
}

/// Whether a bucket is there and lets us list it; nothing is changed.
///
/// # Errors
/// As [`open`].
pub fn reach(settings: &S3Settings) -> Result<(), StoreError> {
    let named = |error| settings.named(error);
    let bucket = client(settings).map_err(named)?;
    BucketStore::reach(bucket, &settings.prefix).map_err(named)
}

impl S3Settings {
    /// An error about a place names it.
    fn named(&self, error: StoreError) -> StoreError {
        let place = self.place();
        match error {
            StoreError::Unusable { why } => StoreError::Unusable { why: format!("{place}: {why}") },
            StoreError::Denied { segment, op, why } => {
                StoreError::Denied { segment, op, why: format!("{place}: {why}") }
            }
            other => other,
        }
    }

    /// For people: which bucket of which server.
    fn place(&self) -> String {
        let server = self.endpoint.as_deref().unwrap_or("AWS");
        format!("bucket {:?} at {server}", self.bucket)
    }
}

fn client(settings: &S3Settings) -> Result<Arc<dyn object_store::ObjectStore>, StoreError> {
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT_MAX)
        // What a request may take depends on its size: whoever makes it knows.
        .with_timeout_disabled()
        // A bucket at http:// is somebody's decision.
        .with_allow_http(settings.endpoint.as_deref().is_some_and(|at| at.starts_with("http://")));
    // Asking again is a layer's.
    let once = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: Duration::ZERO,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(settings.region.as_deref().unwrap_or(REGION))
        .with_virtual_hosted_style_request(settings.virtual_hosted)
        .with_client_options(options)
        .with_retry(once)
        .with_disable_bulk_delete(true)
        .with_disable_tagging(true)
        .with_http_connector(WatchedConnector)
        .with_access_key_id(settings.credentials.key())
        .with_secret_access_key(settings.credentials.secret());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(token) = settings.credentials.token() {
        builder = builder.with_token(token);
    }
    let built = builder.build().map_err(|error| StoreError::Unusable { why: error.to_string() })?;
    Ok(Arc::new(built))
}

#[cfg(test)]
mod tests;

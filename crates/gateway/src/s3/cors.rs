//! What browsers ask before a page of another site may use a bucket, and are told after.

use archipelago_model::ContainerName;
use archipelago_pool::Container;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use s3s::dto::CORSRule;

use super::settings;
use crate::App;
use crate::domains::Domains;

/// A request of a page: from where, and with which method and headers.
pub(super) struct Asked {
    bucket: ContainerName,
    origin: String,
    method: String,
    headers: Vec<String>,
}

fn text(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Asked {
    /// `None` for a request of no page.
    pub(super) fn of(domains: &Domains, request: &Request) -> Option<Self> {
        let headers = request.headers();
        let path = match domains.bucket_of(headers) {
            Some(bucket) => bucket.to_ascii_lowercase(),
            None => percent_decoded(request.uri().path().split('/').nth(1)?)?,
        };
        let method = match *request.method() {
            Method::OPTIONS => text(headers, ACCESS_CONTROL_REQUEST_METHOD)?,
            ref method => method.to_string(),
        };
        let listed = text(headers, ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let listed = listed.split(',').map(|one| one.trim().to_lowercase());
        Some(Self {
            bucket: path.parse().ok()?,
            origin: text(headers, ORIGIN)?,
            method,
            headers: listed.filter(|one| !one.is_empty()).collect(),
        })
    }

    /// The rule of the bucket that allows it; buckets of no account in particular.
    pub(super) async fn rule(&self, app: &App) -> Option<CORSRule> {
        let name = self.bucket.clone();
        let found = app.calls.call(&app.service, move |service| service.bucket(None, &name)).await;
        let bucket: Container = found.ok()?;
        settings::cors_of(&bucket)?.cors_rules.into_iter().find(|rule| self.is_allowed_by(rule))
    }

    fn is_allowed_by(&self, rule: &CORSRule) -> bool {
        let matches = |pattern: &String, text: &str| match pattern.split_once('*') {
            None => pattern == text,
            Some((front, back)) => {
                text.len() >= front.len() + back.len()
                    && text.starts_with(front)
                    && text.ends_with(back)
            }
        };
        let allowed = rule.allowed_headers.clone().unwrap_or_default();
        rule.allowed_origins.iter().any(|origin| matches(origin, &self.origin))
            && rule.allowed_methods.contains(&self.method)
            && self.headers.iter().all(|header| {
                allowed.iter().any(|pattern| matches(&pattern.to_lowercase(), header))
            })
    }

    /// What a browser is told.
    pub(super) fn tell(&self, rule: &CORSRule, headers: &mut HeaderMap) {
        let any = rule.allowed_origins.iter().any(|origin| origin == "*");
        let origin = if any { "*" } else { &self.origin };
        let mut put = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        put(ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods.join(", "));
        if !self.headers.is_empty() {
            put(ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.join(","));
        }
        if let Some(names) = rule.expose_headers.as_ref().filter(|names| !names.is_empty()) {
            put(ACCESS_CONTROL_EXPOSE_HEADERS, &names.join(", "));
        }
        if let Some(seconds) = rule.max_age_seconds {
            put(ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
        }
        put(VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
    }
}

/// `OPTIONS`: whether a page may ask for it.
pub(super) async fn preflight(app: &App, asked: Option<Asked>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = match asked {
        None => StatusCode::BAD_REQUEST,
        Some(asked) => match asked.rule(app).await {
            None => StatusCode::FORBIDDEN,
            Some(rule) => {
                asked.tell(&rule, response.headers_mut());
                StatusCode::OK
            }
        },
    };
    response
}

fn percent_decoded(text: &str) -> Option<String> {
    // A form's encoding, but for the plus sign, which no bucket has.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&format!("x={text}")).ok()?;
    pairs.into_iter().next().map(|(_, value)| value)
}

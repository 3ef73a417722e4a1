//! What Keystone calls things, as JSON.

use archipelago_pool::{AccessKey, Account, ApplicationCredential, Identity, Role, Session, User};
use axum::Json;
use axum::http::StatusCode;
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::{Value, json};

use super::Base;

/// The one domain.
pub(super) const DOMAIN_ID: &str = "default";
pub(super) const DOMAIN_NAME: &str = "Default";

/// The one region.
const REGION: &str = "RegionOne";

/// `GET /identity`: clients take 300 for the list that it is.
pub(super) async fn versions(base: Base) -> (StatusCode, Json<Value>) {
    let values = json!({"versions": {"values": [version_3(&base)]}});
    (StatusCode::MULTIPLE_CHOICES, Json(values))
}

/// `GET /identity/v3`.
pub(super) async fn version(base: Base) -> Json<Value> {
    Json(json!({"version": version_3(&base)}))
}

fn version_3(Base(base): &Base) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{base}/identity/v3/")}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

/// Where an account's containers are, for clients that logged in as Swift alone has it: they,
/// and the people who sign URLs for them, expect the paths of a Swift without anything beside.
pub(super) fn swift_store(Base(base): &Base, account: &Account) -> String {
    format!("{base}/v1/AUTH_{}", hex::encode(account.uuid))
}

/// Where an account's containers are.
pub(super) fn object_store(Base(base): &Base, account: &Account) -> String {
    format!("{base}/object/v1/AUTH_{}", hex::encode(account.uuid))
}

/// The services. Others are added here when they are served.
pub(super) fn catalog(base: &Base, account: &Account) -> Value {
    let services = [
        ("identity", "keystone", format!("{}/identity", base.0)),
        ("object-store", "swift", object_store(base, account)),
    ];
    services
        .into_iter()
        .map(|(kind, name, url)| {
            let endpoints: Vec<Value> = ["public", "internal", "admin"]
                .into_iter()
                .map(|interface| {
                    json!({
                        "id": format!("{kind}-{interface}"),
                        "interface": interface,
                        "region": REGION,
                        "region_id": REGION,
                        "url": url,
                    })
                })
                .collect();
            json!({"id": kind, "type": kind, "name": name, "endpoints": endpoints})
        })
        .collect()
}

/// The same as Keystone v2 has it.
pub(super) fn catalog_2(base: &Base, account: &Account) -> Value {
    let service = |kind: &str, name: &str, version: &str, url: String| {
        json!({"type": kind, "name": name, "endpoints_links": [], "endpoints": [{
            "region": REGION,
            "versionId": version,
            "publicURL": url,
            "internalURL": url,
            "adminURL": url,
            "SNF:uiURL": base.0,
        }]})
    };
    let pithos = format!("{}{}", base.0, crate::pithos::PREFIX);
    // Clients of Pithos take the first of a type, and want one of each that they know.
    let other = |kind: &str, name: &str, version: &str, path: &str| {
        service(kind, name, version, format!("{}{path}", base.0))
    };
    json!([
        other("identity", "keystone", "v2.0", "/identity/v2.0"),
        service("object-store", "pithos_object-store", "v1", pithos),
        service("object-store", "swift", "v1", object_store(base, account)),
        other("account", "astakos_account", "v1.0", "/account/v1.0"),
        other("image", "cyclades_plankton", "v1.0", "/image/v1.0"),
        other("volume", "cyclades_volume", "v2.0", "/volume/v2.0"),
        other("compute", "cyclades_compute", "v2.0", "/compute/v2.0"),
    ])
}

pub(super) fn domain() -> Value {
    json!({"id": DOMAIN_ID, "name": DOMAIN_NAME})
}

/// A role, and those that it implies: clients look for the one that they need.
pub(super) fn roles(role: Role) -> Value {
    let all: &[Role] = match role {
        Role::Admin => &[Role::Admin, Role::Member, Role::Reader],
        Role::Member => &[Role::Member, Role::Reader],
        Role::Reader => &[Role::Reader],
        Role::Guest => &[Role::Guest],
    };
    all.iter().map(|role| json!({"id": role.name(), "name": role.name()})).collect()
}

/// The body of a token.
pub(super) fn token(session: &Session, method: &str, base: Option<&Base>) -> Value {
    let Identity { user, account, role } = &session.identity;
    let mut token = json!({
        "methods": [method],
        "user": {
            "id": hex::encode(user.uuid),
            "name": user.name.as_str(),
            "domain": domain(),
            "password_expires_at": null,
        },
        "project": {
            "id": hex::encode(account.uuid),
            "name": account.name.as_str(),
            "domain": domain(),
        },
        "is_domain": false,
        "roles": roles(*role),
        "audit_ids": [],
        "issued_at": time(session.created_ms),
        "expires_at": time(session.expires_ms),
    });
    if let Some(base) = base {
        token["catalog"] = catalog(base, account);
    }
    json!({"token": token})
}

pub(super) fn project(Base(base): &Base, account: &Account) -> Value {
    let id = hex::encode(account.uuid);
    json!({
        "links": {"self": format!("{base}/identity/v3/projects/{id}")},
        "id": id,
        "name": account.name.as_str(),
        "domain_id": DOMAIN_ID,
        "parent_id": DOMAIN_ID,
        "description": "",
        "enabled": account.enabled,
        "is_domain": false,
        "options": {},
        "tags": [],
    })
}

pub(super) fn user(Base(base): &Base, user: &User) -> Value {
    let id = hex::encode(user.uuid);
    json!({
        "links": {"self": format!("{base}/identity/v3/users/{id}")},
        "id": id,
        "name": user.name.as_str(),
        "domain_id": DOMAIN_ID,
        "enabled": user.enabled,
        "options": {},
        "password_expires_at": null,
    })
}

/// A credential; its secret only when it was just made.
pub(super) fn credential(
    Base(base): &Base,
    one: &ApplicationCredential,
    role: Option<Role>,
    secret: Option<&str>,
) -> Value {
    let (id, user) = (hex::encode(one.uuid), hex::encode(one.user.uuid));
    let mut view = json!({
        "links": {"self": format!("{base}/identity/v3/users/{user}/application_credentials/{id}")},
        "id": id,
        "name": one.name.as_str(),
        "description": null,
        "user_id": user,
        "project_id": hex::encode(one.account.uuid),
        "roles": role.map_or_else(|| json!([]), roles),
        "expires_at": one.expires_ms.map(time),
        "unrestricted": false,
        "system": null,
    });
    if let Some(secret) = secret {
        view["secret"] = json!(secret);
    }
    view
}

/// An S3 key as Keystone calls it; its secret only when it was just made.
pub(super) fn ec2(Base(base): &Base, key: &AccessKey, secret: Option<&str>) -> Value {
    let (id, user) = (key.id.as_str(), hex::encode(key.user.uuid));
    json!({
        "links": {"self": format!("{base}/identity/v3/users/{user}/credentials/OS-EC2/{id}")},
        "access": id,
        "secret": secret,
        "user_id": user,
        "tenant_id": hex::encode(key.account.uuid),
        "trust_id": null,
    })
}

/// A list under its name.
pub(super) fn list(Base(base): &Base, path: &str, noun: &str, rows: Vec<Value>) -> Json<Value> {
    let truncated = rows.len() > super::ROWS_MAX;
    let rows: Vec<Value> = rows.into_iter().take(super::ROWS_MAX).collect();
    let this = format!("{base}/identity/v3/{path}");
    let mut body = json!({"links": {"self": this, "previous": null, "next": null}});
    body[noun] = Value::Array(rows);
    if truncated {
        body["truncated"] = json!(true);
    }
    Json(body)
}

/// `2026-11-27T16:00:00.000000Z`.
pub(super) fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.unwrap_or(Timestamp::MAX);
    strtime::format("%Y-%m-%dT%H:%M:%S.%6fZ", time).unwrap_or_else(|_| time.to_string())
}

/// The other way; without an offset it is UTC, as Keystone takes it.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    let time = text.parse::<Timestamp>().or_else(|_| format!("{text}Z").parse()).ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

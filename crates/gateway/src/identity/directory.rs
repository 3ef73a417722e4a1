//! The one domain and the three roles, for clients that look their names up.

use archipelago_pool::Role;
use axum::Json;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::Query;
use super::{Base, Caller, Refusal, views, wanted};

#[derive(Deserialize)]
pub(super) struct Filter {
    name: Option<String>,
}

fn domain(Base(base): &Base) -> Value {
    let id = views::DOMAIN_ID;
    json!({
        "links": {"self": format!("{base}/identity/v3/domains/{id}")},
        "id": id,
        "name": views::DOMAIN_NAME,
        "description": "",
        "enabled": true,
        "options": {},
        "tags": [],
    })
}

fn role(Base(base): &Base, role: Role) -> Value {
    let id = role.name();
    json!({
        "links": {"self": format!("{base}/identity/v3/roles/{id}")},
        "id": id,
        "name": id,
        "domain_id": null,
        "description": "",
        "options": {},
    })
}

/// All domains.
pub(super) async fn domains(_: Caller, base: Base, Query(filter): Query<Filter>) -> Json<Value> {
    let all = [domain(&base)].into_iter();
    let rows = all.filter(|_| wanted(filter.name.as_deref(), views::DOMAIN_NAME)).collect();
    views::list(&base, "domains", "domains", rows)
}

/// One, by id.
pub(super) async fn show_domain(
    _: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    if id != views::DOMAIN_ID {
        let shown = id.escape_default();
        return Err(Refusal::not_found(format_args!("there is no domain of id '{shown}'")));
    }
    Ok(Json(json!({"domain": domain(&base)})))
}

/// All roles.
pub(super) async fn roles(_: Caller, base: Base, Query(filter): Query<Filter>) -> Json<Value> {
    let rows = [Role::Admin, Role::Member, Role::Reader, Role::Guest]
        .into_iter()
        .filter(|one| wanted(filter.name.as_deref(), one.name()))
        .map(|one| role(&base, one))
        .collect();
    views::list(&base, "roles", "roles", rows)
}

/// One, by id.
pub(super) async fn show_role(
    _: Caller,
    base: Base,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let one: Role = id.parse().map_err(Refusal::not_found)?;
    Ok(Json(json!({"role": role(&base, one)})))
}

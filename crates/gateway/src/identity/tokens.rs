//! `/identity/v3/auth/tokens`: log in, look, log out.

use std::fmt;

use archipelago_pool::{Login, Named, Secret, Service, Session};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Body, Query, SUBJECT_TOKEN, header};
use super::views::{self, DOMAIN_ID, DOMAIN_NAME};
use super::{Base, Caller, Refusal};
use crate::App;

/// A secret of a request; it has no Debug of its content, as whatever holds it.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Hidden(pub(super) Secret);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

#[derive(Deserialize)]
pub(super) struct Request {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    identity: Methods,
    #[serde(default)]
    scope: Option<Value>,
}

#[derive(Deserialize)]
struct Methods {
    methods: Vec<String>,
    password: Option<Password>,
    token: Option<Token>,
    application_credential: Option<Credential>,
}

#[derive(Deserialize)]
struct Password {
    user: PasswordUser,
}

#[derive(Deserialize)]
struct PasswordUser {
    #[serde(flatten)]
    named: Reference,
    password: Hidden,
}

#[derive(Deserialize)]
struct Token {
    id: Hidden,
}

#[derive(Deserialize)]
struct Credential {
    id: Option<String>,
    name: Option<String>,
    user: Option<Reference>,
    secret: Hidden,
}

/// Something by id, or by name in a domain.
#[derive(Deserialize)]
struct Reference {
    id: Option<String>,
    name: Option<String>,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: Option<String>,
    name: Option<String>,
}

impl Reference {
    /// `None` when it is in a domain that does not exist: nothing is found then.
    fn named(self, what: &str) -> Result<Option<Named>, Refusal> {
        let here = self.domain.is_none_or(|domain| {
            domain.id.as_deref().is_none_or(|id| id == DOMAIN_ID)
                && domain.name.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(DOMAIN_NAME))
        });
        match (self.id, self.name) {
            (Some(id), _) => Ok(here.then_some(Named::Uuid(id))),
            (None, Some(name)) => Ok(here.then_some(Named::Name(name))),
            (None, None) => Err(Refusal::invalid(format!("{what} needs an id or a name"))),
        }
    }
}

/// How somebody proves who it is.
enum Proof {
    Password(Named, Secret),
    Token(Secret),
    Credential { named: Named, user: Option<Named>, secret: Secret },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(..) => "password",
            Self::Token(_) => "token",
            Self::Credential { .. } => "application_credential",
        })
    }
}

impl Methods {
    fn proof(self) -> Result<Proof, Refusal> {
        let missing = |what| Refusal::invalid(format!("the method {what} lacks its part"));
        match self.methods.as_slice() {
            [one] if one == "password" => {
                let user = self.password.ok_or_else(|| missing("password"))?.user;
                let named = user.named.named("the user")?.ok_or_else(Refusal::unauthenticated)?;
                Ok(Proof::Password(named, user.password.0))
            }
            [one] if one == "token" => {
                Ok(Proof::Token(self.token.ok_or_else(|| missing("token"))?.id.0))
            }
            [one] if one == "application_credential" => {
                let part = self.application_credential;
                let part = part.ok_or_else(|| missing("application_credential"))?;
                let user = part.user.map(|user| user.named("the user")).transpose()?.flatten();
                let named = match (part.id, part.name) {
                    (Some(id), _) => Named::Uuid(id),
                    (None, Some(name)) => Named::Name(name),
                    (None, None) => {
                        return Err(Refusal::invalid("the credential needs an id or a name"));
                    }
                };
                Ok(Proof::Credential { named, user, secret: part.secret.0 })
            }
            _ => Err(Refusal::invalid(
                "one method is possible: password, token or application_credential",
            )),
        }
    }
}

/// The account that a login is for; `None` leaves the choice to us.
fn scope(scope: Option<Value>) -> Result<Option<Named>, Refusal> {
    let project = match scope {
        None | Some(Value::Null) => return Ok(None),
        // An unscoped token: ours always has an account, which does no harm.
        Some(Value::String(text)) if text == "unscoped" => return Ok(None),
        Some(Value::Object(mut scope)) => scope.remove("project"),
        Some(_) => None,
    };
    let Some(project) = project else {
        return Err(Refusal::invalid("the only possible scope is a project"));
    };
    let project: Reference = serde_json::from_value(project)
        .map_err(|error| Refusal::invalid(format!("the scope is not understood: {error}")))?;
    project.named("the project")?.map(Some).ok_or_else(Refusal::unauthenticated)
}

fn log_in(
    service: &Service,
    proof: &Proof,
    scope: Option<&Named>,
) -> Result<Login, archipelago_pool::Error> {
    match proof {
        Proof::Password(user, password) => service.login_password(user, password, scope),
        Proof::Token(token) => service.login_token(token, scope),
        Proof::Credential { named, user, secret } => {
            service.login_application_credential(named, user.as_ref(), secret)
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Options {
    nocatalog: Option<String>,
}

/// Logs in.
pub(super) async fn create(
    State(app): State<App>,
    base: Base,
    Query(options): Query<Options>,
    Body(request): Body<Request>,
) -> Result<Response, Refusal> {
    let proof = request.auth.identity.proof()?;
    let scope = scope(request.auth.scope)?;
    let method = proof.to_string();
    let login = app
        .calls
        .login(&app.service, move |service| log_in(service, &proof, scope.as_ref()))
        .await?;
    let base = options.nocatalog.is_none().then_some(&base);
    let body = Json(views::token(&login.session, &method, base));
    let mut response = (StatusCode::CREATED, body).into_response();
    response.headers_mut().insert(SUBJECT_TOKEN, secret_value(&login.token)?);
    Ok(response)
}

/// A header that nothing writes to a log.
pub(super) fn secret_value(secret: &Secret) -> Result<HeaderValue, Refusal> {
    let mut value = HeaderValue::from_str(secret.expose())
        .map_err(|_| Refusal::from(crate::failure::Failure::defect()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the token in `X-Subject-Token` stands for, for its user and administrators.
async fn subject(app: &App, caller: &Caller, headers: &HeaderMap) -> Result<Session, Refusal> {
    let not_found = || Refusal::not_found("the token in X-Subject-Token is not valid");
    let token = Secret::new(header(headers, SUBJECT_TOKEN).ok_or_else(not_found)?);
    let session = app.calls.call(&app.service, move |service| service.session(&token)).await;
    let session = session.map_err(|failure| match failure.kind() {
        archipelago_api::ErrorKind::Unauthenticated => not_found(),
        _ => failure.into(),
    })?;
    caller.check_is(&hex::encode(session.identity.user.uuid))?;
    Ok(session)
}

/// Shows a token; axum answers HEAD with the same.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    base: Base,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let session = subject(&app, &caller, &headers).await?;
    let method = if session.credential.is_some() { "application_credential" } else { "password" };
    let base = options.nocatalog.is_none().then_some(&base);
    let mut response = Json(views::token(&session, method, base)).into_response();
    if let Some(token) = headers.get(SUBJECT_TOKEN) {
        response.headers_mut().insert(SUBJECT_TOKEN, token.clone());
    }
    Ok(response)
}

/// Ends a token.
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    subject(&app, &caller, &headers).await?;
    let token = Secret::new(header(&headers, SUBJECT_TOKEN).unwrap_or_default());
    app.calls.call(&app.service, move |service| service.revoke(&token)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The services of the caller's account.
pub(super) async fn catalog(caller: Caller, base: Base) -> Json<Value> {
    let this = format!("{}/identity/v3/auth/catalog", base.0);
    Json(json!({
        "catalog": views::catalog(&base, &caller.0.identity.account),
        "links": {"self": this, "previous": null, "next": null},
    }))
}

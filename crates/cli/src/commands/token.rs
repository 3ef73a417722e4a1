//! `archipelago token`: logins of Keystone, for people.

use archipelago_model::{AccountName, UserName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Context;
use crate::args::token::Token as Verb;
use crate::failure::{Failure, Result};
use crate::password;

/// Where Keystone gives and ends tokens.
const TOKENS: &str = "/identity/v3/auth/tokens";

pub fn run(context: &Context, verb: Verb) -> Result {
    match verb {
        Verb::Issue { user, account } => issue(context, &user, account.as_ref()),
        Verb::Revoke => {
            context.client.revoke(TOKENS)?;
            context.output.confirm(&json!({ "revoked": true }), |_| "the token ended".to_owned())
        }
    }
}

/// The JSON of `issue`.
#[derive(Serialize)]
struct Issued {
    token: String,
    user: String,
    account: Option<String>,
    expires: String,
}

#[derive(Deserialize)]
struct Answer {
    token: Described,
}

#[derive(Deserialize)]
struct Described {
    expires_at: String,
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    name: String,
}

/// A login, as Keystone has it.
fn login(user: &str, account: Option<&str>, password: &str) -> serde_json::Value {
    let domain = json!({ "id": "default" });
    let mut body = json!({ "auth": { "identity": {
        "methods": ["password"],
        "password": { "user": { "name": user, "domain": domain, "password": password } },
    } } });
    if let Some(account) = account {
        body["auth"]["scope"] = json!({ "project": { "name": account, "domain": domain } });
    }
    body
}

/// Whether a user gets in with this password. The login that shows it ends at once.
pub(super) fn check(context: &Context, user: &str, account: &str, password: &str) -> Result {
    let body = login(user, Some(account), password);
    let issued = context.client.issue::<serde_json::Value>(TOKENS, &body);
    let (token, _) = issued.map_err(|failure| {
        let message = format!(
            "user '{user}' does not get into account '{account}' with this password: {}",
            failure.message()
        );
        Failure::new(failure.kind(), message).remedy(format!(
            "type it again; `archipelago user show {user}` tells the accounts, `archipelago user \
             passwd {user}` sets another password"
        ))
    })?;
    context.client.with_token(&token)?.revoke(TOKENS)
}

fn issue(context: &Context, user: &UserName, account: Option<&AccountName>) -> Result {
    let user = user.as_str();
    let password = password::read()?;
    let body = login(user, account.map(AccountName::as_str), &password);
    let (token, answer) = context.client.issue::<Answer>(TOKENS, &body)?;
    let Described { expires_at, project } = answer.token;
    let account = project.map(|project| project.name);
    let issued = Issued { token, user: user.to_owned(), account, expires: expires_at };
    // Also when quiet: it is what was asked for.
    context.output.show(&issued, |issued| issued.token.clone())
}

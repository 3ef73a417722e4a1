//! `archipelago token`: logins of Keystone, for people.

use archipelago_model::{AccountName, UserName};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Context;
use crate::args::token::Token as Verb;
use crate::failure::Result;
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

fn issue(context: &Context, user: &UserName, account: Option<&AccountName>) -> Result {
    let domain = json!({ "id": "default" });
    let user = user.as_str();
    let password = password::read()?;
    let mut body = json!({ "auth": { "identity": {
        "methods": ["password"],
        "password": { "user": { "name": user, "domain": domain, "password": password } },
    } } });
    if let Some(account) = account {
        body["auth"]["scope"] =
            json!({ "project": { "name": account.as_str(), "domain": domain } });
    }
    let (token, answer) = context.client.issue::<Answer>(TOKENS, &body)?;
    let Described { expires_at, project } = answer.token;
    let account = project.map(|project| project.name);
    let issued = Issued { token, user: user.to_owned(), account, expires: expires_at };
    // Also when quiet: it is what was asked for.
    context.output.show(&issued, |issued| issued.token.clone())
}

//! `archipelago env`: the variables by which clients of others find us.

use std::collections::BTreeMap;

use archipelago_api::{self as api, path};
use archipelago_model::{AccountName, UserName};

use super::Context;
use crate::failure::{Failure, Kind, Result};
use crate::password;

pub fn env(context: &Context, name: &UserName, account: Option<AccountName>) -> Result {
    let user: api::User = context.client.get(&path::user(name.as_str()))?;
    let first = user.accounts.first().map(|one| one.account.clone());
    let account = account.map(|account| account.to_string()).or(first).ok_or_else(|| {
        Failure::new(Kind::Local, format!("user '{name}' is in no account"))
            .remedy(format!("`archipelago user join {name} ACCOUNT` puts it in one"))
    })?;
    let password = password::read()?;
    super::token::check(context, name.as_str(), &account, &password)?;
    let endpoint = context.client.endpoint().to_string();
    let variables = variables(&endpoint, name.as_str(), &account, &password);
    // Also when quiet: it is what was asked for.
    context.output.show(&variables, lines)
}

fn variables(
    endpoint: &str,
    user: &str,
    account: &str,
    password: &str,
) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("OS_AUTH_URL", format!("{endpoint}/identity/v3")),
        ("OS_USERNAME", user.to_owned()),
        ("OS_PASSWORD", password.to_owned()),
        ("OS_PROJECT_NAME", account.to_owned()),
        ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
        ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
        ("ST_AUTH", format!("{endpoint}/auth/v1.0")),
        ("ST_USER", format!("{account}:{user}")),
        ("ST_KEY", password.to_owned()),
    ])
}

fn lines(variables: &BTreeMap<&'static str, String>) -> String {
    let line = |(name, value): (&&str, &String)| format!("export {name}={}", quoted(value));
    variables.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

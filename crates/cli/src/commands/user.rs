//! `archipelago user`.

use archipelago_api::{self as api, path};
use archipelago_model::UserName;

use super::{Context, remove_each};
use crate::args::user::{Key, User as Verb};
use crate::failure::Result;
use crate::output::table::{Column, facts, render};
use crate::output::text::{plain, time};
use crate::password;

pub fn run(context: &Context, verb: Verb) -> Result {
    let client = &context.client;
    match verb {
        Verb::Create { name, admin, account, role } => {
            let body = api::CreateUser {
                name: name.to_string(),
                password: api::Hidden(password::read_new()?),
                admin,
                account: account.map(|account| account.to_string()),
                role: role.map(|role| role.name().to_owned()),
            };
            let user: api::User = client.post(path::USERS, &body)?;
            context.output.confirm(&user, |user| {
                format!("created user {} in account {}", user.name, accounts(user))
            })
        }
        Verb::Ls => {
            let users: api::Users = client.get(path::USERS)?;
            context.output.show(&users, |list| table(&list.users))
        }
        Verb::Show { name } => {
            let user: api::User = client.get(&path::user(name.as_str()))?;
            context.output.show(&user, view)
        }
        Verb::Passwd { name } => {
            let body = api::SetPassword { password: api::Hidden(password::read_new()?) };
            let user: api::User = client.post(&path::user_password(name.as_str()), &body)?;
            context.output.confirm(&user, |user| {
                format!("changed the password of user {}; its tokens ended", user.name)
            })
        }
        Verb::Rm { names } => {
            let names: Vec<String> = names.iter().map(UserName::to_string).collect();
            remove_each(context, "user", &names, |index| client.delete(&path::user(&names[index])))
        }
        Verb::Enable { name } => enable(context, &name, true),
        Verb::Disable { name } => enable(context, &name, false),
        Verb::Join { name, account, role } => {
            let body = api::Join { user: name.to_string(), role: role.name().to_owned() };
            let user: api::User = client.post(&path::members(account.as_str()), &body)?;
            context.output.confirm(&user, |user| {
                format!("user {} is {} of account {account}", user.name, role.name())
            })
        }
        Verb::Leave { name, account } => {
            client.delete(&path::member(account.as_str(), name.as_str()))?;
            let user: api::User = client.get(&path::user(name.as_str()))?;
            context.output.confirm(&user, |user| {
                format!("user {} is no more in account {account}", user.name)
            })
        }
        Verb::Key(verb) => key(context, verb),
    }
}

fn enable(context: &Context, name: &UserName, enabled: bool) -> Result {
    let body = api::SetEnabled { enabled };
    let user: api::User = context.client.post(&path::user_enabled(name.as_str()), &body)?;
    context.output.confirm(&user, |user| {
        let word = if user.enabled { "may log in" } else { "may not log in any more" };
        format!("user {} {word}", user.name)
    })
}

fn key(context: &Context, verb: Key) -> Result {
    match verb {
        Key::Create { name, account } => {
            let body = api::CreateKey { account: account.map(|account| account.to_string()) };
            let key: api::Key = context.client.post(&path::user_keys(name.as_str()), &body)?;
            // Also when quiet: nobody can be told the secret later.
            context.output.show(&key, new_key)
        }
        Key::Ls { name } => {
            let keys: api::Keys = context.client.get(&path::user_keys(name.as_str()))?;
            context.output.show(&keys, |list| key_table(&list.keys))
        }
        Key::Rm { keys } => remove_each(context, "key", &keys, |index| {
            context.client.delete(&path::key(&keys[index]))
        }),
    }
}

fn table(users: &[api::User]) -> String {
    let columns = [
        Column::Left("NAME"),
        Column::Left("ADMIN"),
        Column::Left("ENABLED"),
        Column::Left("CREATED"),
    ];
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let rows = users.iter().map(|user| {
        vec![plain(&user.name), yes(user.admin), yes(user.enabled), time(user.created_ms)]
    });
    render(&columns, rows)
}

fn accounts(user: &api::User) -> String {
    let one = |of: &api::Membership| format!("{} ({})", plain(&of.account), plain(&of.role));
    user.accounts.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn view(user: &api::User) -> String {
    facts([
        ("name", plain(&user.name)),
        ("id", plain(&user.id)),
        ("admin", user.admin.to_string()),
        ("enabled", user.enabled.to_string()),
        ("accounts", accounts(user)),
        ("created", time(user.created_ms)),
    ])
}

fn new_key(key: &api::Key) -> String {
    let secret = key.secret.as_ref().map_or_else(String::new, |secret| plain(&secret.0));
    let lines = facts([
        ("access key", plain(&key.id)),
        ("secret key", secret),
        ("account", plain(&key.account)),
    ]);
    format!("{lines}\nThe secret key is shown this once.")
}

fn key_table(keys: &[api::Key]) -> String {
    let columns = [Column::Left("KEY"), Column::Left("ACCOUNT"), Column::Left("CREATED")];
    let rows =
        keys.iter().map(|key| vec![plain(&key.id), plain(&key.account), time(key.created_ms)]);
    render(&columns, rows)
}

#[cfg(test)]
mod tests;

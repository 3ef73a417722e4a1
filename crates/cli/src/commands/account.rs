//! `archipelago account`.

use archipelago_api::{self as api, path};
use archipelago_model::AccountName;

use super::{Context, remove_each};
use crate::args::user::Account as Verb;
use crate::failure::Result;
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, plain, size, time};

pub fn run(context: &Context, verb: Verb) -> Result {
    let client = &context.client;
    match verb {
        Verb::Create { name, quota } => {
            let quota_bytes = quota.and_then(|quota| quota.0);
            let body = api::CreateAccount { name: name.to_string(), quota_bytes };
            let account: api::Account = client.post(path::ACCOUNTS, &body)?;
            context.output.confirm(&account, |one| format!("created account {}", one.name))
        }
        Verb::Ls => {
            let accounts: api::Accounts = client.get(path::ACCOUNTS)?;
            context.output.show(&accounts, |list| table(&list.accounts))
        }
        Verb::Show { name } => {
            let account: api::Account = client.get(&path::account(name.as_str()))?;
            context.output.show(&account, view)
        }
        Verb::Quota { name, size } => {
            let body = api::SetQuota { quota_bytes: size.0 };
            let account: api::Account = client.post(&path::account_quota(name.as_str()), &body)?;
            context
                .output
                .confirm(&account, |one| format!("account {} may hold {}", one.name, quota(one)))
        }
        Verb::Move { name, target } => {
            let path = path::account_placement(name.as_str());
            super::pool::move_later(context, &format!("account {name}"), &path, &target.to)
        }
        Verb::Rm { names } => {
            let names: Vec<String> = names.iter().map(AccountName::to_string).collect();
            remove_each(context, "account", &names, |index| {
                client.delete(&path::account(&names[index]))
            })
        }
    }
}

fn quota(account: &api::Account) -> String {
    account.quota_bytes.map_or_else(|| "anything".to_owned(), size)
}

fn view(one: &api::Account) -> String {
    facts([
        ("name", plain(&one.name)),
        ("id", plain(&one.id)),
        ("enabled", one.enabled.to_string()),
        ("used", exact_size(one.used_bytes)),
        ("quota", one.quota_bytes.map_or_else(|| "none".to_owned(), exact_size)),
        ("created", time(one.created_ms)),
    ])
}

fn table(accounts: &[api::Account]) -> String {
    let columns = [
        Column::Left("NAME"),
        Column::Left("ID"),
        Column::Right("USED"),
        Column::Right("QUOTA"),
        Column::Left("CREATED"),
    ];
    let rows = accounts.iter().map(|one| {
        let quota = one.quota_bytes.map_or_else(|| "-".to_owned(), size);
        vec![plain(&one.name), plain(&one.id), size(one.used_bytes), quota, time(one.created_ms)]
    });
    render(&columns, rows)
}

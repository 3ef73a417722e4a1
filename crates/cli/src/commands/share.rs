//! `archipelago share` and `archipelago audit`.

use archipelago_api::{self as api, path};

use super::Context;
use crate::args::share::{Ended, Said, Share, Verb, Who};
use crate::failure::{Failure, Result};
use crate::output::table::{Column, render};
use crate::output::text::{detail, plain, time};

pub fn run(context: &Context, options: Share) -> Result {
    match options.verb {
        Some(Verb::Ls { resource, account }) => {
            let query = api::ShareQuery { resource, account: account.map(|one| one.to_string()) };
            let found: api::Shares = context.client.get(&path::shares(&query))?;
            let now = context.env.clock().unix_ms();
            context.output.show(&found, |found| table(&found.shares, now))
        }
        Some(Verb::Rm { resource, said, with, right, account }) => {
            let mut ends = ended(said);
            if ends.is_empty() {
                ends.push((with.map(|Who(with)| with), right));
            }
            end(context, &resource, &ends, account.map(|one| one.to_string()))
        }
        None => share(context, options),
    }
}

/// Grantees and rights that are ended, each by itself: a right of none is all of them.
fn ended(said: Vec<Ended>) -> Vec<(Option<String>, Option<String>)> {
    let mut ends = Vec::new();
    for Ended { who: Who(who), rights } in said {
        if rights.is_empty() {
            ends.push((Some(who), None));
        } else {
            ends.extend(rights.into_iter().map(|right| (Some(who.clone()), Some(right))));
        }
    }
    ends
}

fn end(
    context: &Context,
    resource: &str,
    ends: &[(Option<String>, Option<String>)],
    account: Option<String>,
) -> Result {
    for (with, right) in ends {
        let query = api::EndShareQuery {
            resource: resource.to_owned(),
            account: account.clone(),
            with: with.clone(),
            right: right.clone(),
        };
        context.client.delete(&path::shares_end(&query))?;
    }
    let done = serde_json::json!({ "resource": resource });
    context.output.confirm(&done, |_| format!("{} is not shared so any more", plain(resource)))
}

fn share(context: &Context, options: Share) -> Result {
    let rights = [(options.read, "read"), (options.write, "write"), (options.clone, "clone")];
    let rights: Vec<String> =
        rights.into_iter().filter(|(is, _)| *is).map(|(_, right)| right.to_owned()).collect();
    if !options.with.is_empty() && rights.is_empty() {
        return Err(Failure::usage("say what they may: --read, --write or --clone"));
    }
    let mut said = options.said;
    said.extend(options.with.into_iter().map(|who| Said { who, rights: rights.clone() }));
    let resource = options.resource.unwrap_or_default();
    let with =
        said.into_iter().map(|Said { who: Who(who), rights }| api::ShareWith { who, rights });
    let body = api::CreateShare {
        resource,
        account: options.account.map(|one| one.to_string()),
        with: with.collect(),
        lifetime_ms: options.until.map(|time| time.ms),
    };
    let now: api::Shares = context.client.post(path::SHARES, &body)?;
    let time = context.env.clock().unix_ms();
    context.output.confirm(&now, |now| table(&now.shares, time))
}

fn table(shares: &[api::Share], now_ms: u64) -> String {
    use Column::Left;
    let columns = [Left("RESOURCE"), Left("WITH"), Left("RIGHT"), Left("UNTIL"), Left("BY")];
    let rows = shares.iter().map(|one| {
        let until = match one.expires_ms {
            None => "-".to_owned(),
            Some(end) if end <= now_ms => format!("{}, ended", time(end)),
            Some(end) => time(end),
        };
        vec![plain(&one.resource), plain(&one.with), one.right.clone(), until, plain(&one.by)]
    });
    render(&columns, rows)
}

/// `archipelago audit`.
pub fn audit(context: &Context, limit: u64) -> Result {
    let mut log = api::AuditLog { rows: Vec::new() };
    loop {
        let left = limit.saturating_sub(log.rows.len() as u64);
        let before = log.rows.last().map(|row| row.id);
        let query = api::AuditQuery { before, limit: Some(left) };
        let page: api::AuditLog = context.client.get(&path::audit(&query))?;
        let ended = left == 0 || page.rows.is_empty();
        log.rows.extend(page.rows);
        if ended || log.rows.len() as u64 >= limit {
            break;
        }
    }
    context.output.show(&log, |log| {
        use Column::Left;
        let columns = [
            Left("TIME"),
            Left("WHO"),
            Left("WHAT"),
            Left("RESOURCE"),
            Left("DETAIL"),
            Column::Right("TIMES"),
        ];
        let rows = log.rows.iter().map(|row| {
            vec![
                time(row.at_ms),
                plain(&row.actor),
                plain(&row.event),
                plain(&row.resource),
                detail(&row.detail),
                row.count.to_string(),
            ]
        });
        render(&columns, rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_has_ended_says_so() {
        let share = |expires_ms| api::Share {
            resource: "file 'c/o'".to_owned(),
            with: "bob".to_owned(),
            right: "read".to_owned(),
            expires_ms,
            by: "admin".to_owned(),
            created_ms: 1,
        };
        let text = table(&[share(Some(1000)), share(Some(3000)), share(None)], 2000);
        let ended: Vec<bool> = text.lines().skip(1).map(|line| line.contains("ended")).collect();
        assert_eq!(ended, [true, false, false], "{text}");
    }
}

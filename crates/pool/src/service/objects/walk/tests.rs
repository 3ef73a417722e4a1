//! Facts about walks: they meet what a plain look at all names would.

use archipelago_model::AccountId;

use super::*;
use crate::object::{Listing, Meta, Page, Versioning};
use crate::testing::Bench;

const ACCOUNT: AccountId = AccountId::new(7);
const NAMES: [&str; 14] = [
    "a", "a/", "a/b", "a/b/c", "a/c", "a0", "b//x", "b/x", "c", "d/1", "d/2", "d/3/4", "d/5",
    "\u{fc}/x",
];

/// What a walk meets, by its rules alone.
fn plain(names: &[&str], walk: &Walk) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    if walk.reverse {
        names.reverse();
    }
    let behind = |name: &str, other: &str| if walk.reverse { name < other } else { name > other };
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let begun = walk.marker.as_deref().is_none_or(|marker| behind(name, marker));
        let ended = walk.end.as_deref().is_some_and(|end| !behind(end, name));
        let Some(rest) = name.strip_prefix(walk.prefix.as_str()).filter(|_| begun && !ended) else {
            continue;
        };
        let cut = walk.delimiter.as_deref().and_then(|by| Some(rest.find(by)? + by.len()));
        match cut {
            Some(cut) if walk.flat && cut == rest.len() => out.push(name.to_owned()),
            Some(_) if walk.flat => {}
            Some(cut) => {
                let prefix = format!("{}{}", walk.prefix, &rest[..cut]);
                let shown = out.last() == Some(&format!("{prefix}*"));
                if walk.marker.as_ref() != Some(&prefix) && !shown {
                    out.push(format!("{prefix}*"));
                }
            }
            None if walk.flat && rest.is_empty() => {}
            None => out.push(name.to_owned()),
        }
    }
    out.truncate(walk.limit);
    out
}

fn shown<T>(steps: Vec<Step<T>>, name: impl Fn(&T) -> String) -> Vec<String> {
    let text = |step| match step {
        Step::Item(item) => name(&item),
        Step::Prefix(prefix) => format!("{prefix}*"),
    };
    steps.into_iter().map(text).collect()
}

fn walks() -> impl Iterator<Item = Walk> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let markers = ["", "a/", "a/b", "c", "d/3/"];
    let all = ["", "a/", "d", "x"].into_iter().flat_map(move |prefix| {
        ["", "/", "//"].into_iter().flat_map(move |delimiter| {
            markers.into_iter().flat_map(move |marker| {
                markers.into_iter().map(move |end| (prefix, delimiter, marker, end))
            })
        })
    });
    all.flat_map(move |(prefix, delimiter, marker, end)| {
        [(false, false), (true, false), (false, true), (true, true)].into_iter().flat_map(
            move |(reverse, flat)| {
                [0, 1, 3, 100].map(move |limit| Walk {
                    prefix: prefix.to_owned(),
                    delimiter: some(delimiter),
                    marker: some(marker),
                    end: some(end),
                    reverse,
                    flat: flat && delimiter == "/",
                    limit,
                })
            },
        )
    })
}

#[test]
fn every_walk_meets_what_a_plain_look_does() {
    let bench = Bench::new();
    let service = &bench.service;
    let home = service.container_create(ACCOUNT, &"c".parse().unwrap()).unwrap().id;
    let put = |name: &str| {
        let finish = &mut |_: &_| Ok(Meta::default());
        let name = name.parse().unwrap();
        service.object_put(home, &name, Some(0), &mut &b""[..], finish, &|_| Ok(())).unwrap();
    };
    NAMES.iter().for_each(|name| put(name));
    for walk in walks() {
        let met = service.object_walk(home, &walk).unwrap().steps;
        assert_eq!(shown(met, |object| object.name.to_string()), plain(&NAMES, &walk), "{walk:?}");
    }
    // All of them again, each with a version below it and one on top.
    let change = &mut |container: &mut Container| {
        container.versioning = Versioning::Enabled;
        Ok(())
    };
    service.container_change(home, change).unwrap();
    NAMES.iter().for_each(|name| put(name));
    let twice: Vec<&str> = NAMES.iter().flat_map(|name| [*name, *name]).collect();
    for walk in walks() {
        let met = service.version_walk(home, &walk, None).unwrap().steps;
        assert_eq!(shown(met, |object| object.name.to_string()), plain(&twice, &walk), "{walk:?}");
    }
}

#[test]
fn pages_of_versions_join_to_all_of_them() {
    let bench = Bench::new();
    let service = &bench.service;
    let home = service.container_create(ACCOUNT, &"c".parse().unwrap()).unwrap().id;
    let change = &mut |container: &mut Container| {
        container.versioning = Versioning::Enabled;
        Ok(())
    };
    service.container_change(home, change).unwrap();
    for name in ["a", "b", "b", "b", "c"] {
        let finish = &mut |_: &_| Ok(Meta::default());
        let name = name.parse().unwrap();
        service.object_put(home, &name, Some(0), &mut &b""[..], finish, &|_| Ok(())).unwrap();
    }
    for reverse in [false, true] {
        let page = |marker: Option<String>, after, limit| {
            let walk = Walk { marker, reverse, limit, ..Walk::default() };
            let steps = service.version_walk(home, &walk, after).unwrap();
            let object = |step| match step {
                Step::Item(object) => Some(object),
                Step::Prefix(_) => None,
            };
            steps.steps.into_iter().filter_map(object).collect::<Vec<Object>>()
        };
        let all = page(None, None, 100);
        assert_eq!(all.len(), 5);
        for limit in 1..6 {
            let (mut joined, mut marker, mut after) = (Vec::new(), None, None);
            loop {
                let next = page(marker, after, limit);
                let Some(last) = next.last() else { break };
                marker = Some(last.name.to_string());
                after = Some(Which::Version(last.id));
                joined.extend(next);
            }
            assert_eq!(joined, all, "{limit} {reverse}");
        }
    }
}

/// A container with 300 objects of which 60 kB each are known, more than one page holds.
fn heavy(bench: &Bench) -> u64 {
    let service = &bench.service;
    let home = service.container_create(ACCOUNT, &"c".parse().unwrap()).unwrap().id;
    for at in 0..300 {
        let known = ("known".to_owned(), "x".repeat(60_000));
        // Of the first half what every listing shows, of the other what only some do.
        let meta = match at < 150 {
            true => Meta { settings: [known].into(), ..Meta::default() },
            false => Meta { user: [known].into(), ..Meta::default() },
        };
        let finish = &mut |_: &_| Ok(meta.clone());
        let name = format!("{at:03}").parse().unwrap();
        service.object_put(home, &name, Some(0), &mut &b""[..], finish, &|_| Ok(())).unwrap();
    }
    home
}

/// The pages of a walk, by how many they have.
fn pages(walk: &Walk, page: &dyn Fn(&Walk) -> Walked<Object>) -> Vec<usize> {
    let (mut walk, mut lens, mut names) = (walk.clone(), Vec::new(), Vec::new());
    loop {
        let Walked { steps, more } = page(&walk);
        lens.push(steps.len());
        names.extend(shown(steps, |object| object.name.to_string()));
        walk.marker = names.last().cloned();
        if !more {
            let mut wanted: Vec<String> = (0..300).map(|at| format!("{at:03}")).collect();
            if walk.reverse {
                wanted.reverse();
            }
            assert_eq!(names, wanted);
            return lens;
        }
    }
}

#[test]
fn a_walk_ends_where_it_holds_enough_and_goes_on_behind() {
    let bench = Bench::new();
    let (service, home) = (&bench.service, heavy(&bench));
    for reverse in [false, true] {
        let walk = Walk { limit: 1000, reverse, ..Walk::default() };
        let whole = pages(&walk, &|walk| service.object_walk_whole(home, walk).unwrap());
        assert!(whole.len() == 2 && whole[0] > 250, "{whole:?}");
        // Half of what is known is not shown, and so not held.
        assert_eq!(pages(&walk, &|walk| service.object_walk(home, walk).unwrap()), [300]);
    }
}

#[test]
fn a_walk_through_versions_of_one_name_ends_where_it_holds_enough() {
    let bench = Bench::new();
    let service = &bench.service;
    let home = service.container_create(ACCOUNT, &"c".parse().unwrap()).unwrap().id;
    let change = &mut |container: &mut Container| {
        container.versioning = Versioning::Enabled;
        Ok(())
    };
    service.container_change(home, change).unwrap();
    let meta =
        Meta { settings: [("known".to_owned(), "x".repeat(60_000))].into(), ..Meta::default() };
    for name in (0..600).map(|_| "a").chain(["b"]) {
        let finish = &mut |_: &_| Ok(meta.clone());
        let name = name.parse().unwrap();
        service.object_put(home, &name, Some(0), &mut &b""[..], finish, &|_| Ok(())).unwrap();
    }
    for reverse in [false, true] {
        let mut walk = Walk { limit: 1000, reverse, ..Walk::default() };
        let (mut after, mut lens, mut ids) = (None, Vec::new(), Vec::new());
        loop {
            let Walked { steps, more } = service.version_walk(home, &walk, after).unwrap();
            lens.push(steps.len());
            for step in steps {
                let Step::Item(object) = step else { panic!("a prefix") };
                (walk.marker, after) =
                    (Some(object.name.to_string()), Some(Which::Version(object.id)));
                ids.push(object.id);
            }
            if !more {
                break;
            }
        }
        assert!(lens.len() == 3 && lens[0] > 250 && lens[1] > 250, "{lens:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 601);
    }
}

#[test]
fn a_page_of_a_listing_ends_where_it_holds_enough_and_says_where_the_next_begins() {
    let bench = Bench::new();
    let (service, home) = (&bench.service, heavy(&bench));
    let all = |page: &dyn Fn(&Listing) -> Page<Object>| {
        let mut listing = Listing { limit: 1000, ..Listing::default() };
        let (mut lens, mut names) = (Vec::new(), Vec::new());
        loop {
            let Page { items, next, .. } = page(&listing);
            lens.push(items.len());
            names.extend(items.iter().map(|object| object.name.to_string()));
            match next {
                None => break,
                Some((name, id)) => (listing.after, listing.after_version) = (Some(name), id),
            }
        }
        assert!(lens.len() == 2 && lens[0] > 250, "{lens:?}");
        assert!(names.is_sorted() && names.len() == 300);
    };
    all(&|listing| service.objects(home, listing).unwrap());
    all(&|listing| service.versions(home, listing).unwrap());
}

#[test]
fn a_listing_of_containers_holds_nothing_of_their_settings() {
    let bench = Bench::new();
    let service = &bench.service;
    let set = &mut |container: &mut Container| {
        container.settings.insert("known".to_owned(), "x".repeat(1000));
        Ok(())
    };
    service.container_create_with(ACCOUNT, &"c".parse().unwrap(), set).unwrap();
    let walk = Walk { limit: 10, ..Walk::default() };
    let Walked { steps, more } = service.container_walk(ACCOUNT, &walk).unwrap();
    let [Step::Item(walked)] = &steps[..] else { panic!("{steps:?}") };
    let listed = &service.containers(ACCOUNT, "", 10).unwrap()[0];
    assert!(!more && walked.settings.is_empty() && listed.settings.is_empty());
}

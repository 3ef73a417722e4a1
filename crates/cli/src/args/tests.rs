use clap::{Command as ClapCommand, CommandFactory};

use super::snapshot::{Reference, Since};
use super::*;

/// All commands that do something, with the words that lead to them.
fn leaves() -> Vec<(String, ClapCommand)> {
    fn collect(words: &str, command: &ClapCommand, out: &mut Vec<(String, ClapCommand)>) {
        let mut inner = command.get_subcommands().peekable();
        if inner.peek().is_none() {
            out.push((words.to_owned(), command.clone()));
        }
        for command in inner {
            collect(&format!("{words} {}", command.get_name()), command, out);
        }
    }
    let mut out = Vec::new();
    collect("archipelago", &Cli::command(), &mut out);
    out
}

fn examples(command: &ClapCommand) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    help.lines()
        .filter(|line| line.starts_with("  "))
        .flat_map(|line| line.split(" | "))
        .filter_map(|part| part.find("archipelago ").map(|at| &part[at..]))
        .map(|part| part.split([' ']).take_while(|w| *w != ">" && *w != "<").collect::<Vec<_>>())
        .map(|words| words.join(" "))
        .collect()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_an_example_that_parses() {
    for (words, command) in leaves() {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "{words} --help has no example");
        assert!(
            examples.iter().all(|example| example.starts_with("archipelago ")),
            "{words}: {examples:?}"
        );
        for example in examples {
            let parsed = Cli::try_parse_from(example.split(' '));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn each_example_shows_the_verb_it_stands_under() {
    for (words, command) in leaves() {
        let shown = examples(&command).iter().any(|example| example.starts_with(&words));
        assert!(shown, "{words}");
    }
}

#[test]
fn global_options_may_stand_before_and_after_the_verb() {
    for line in ["archipelago --json volume ls", "archipelago volume ls --json"] {
        assert!(Cli::try_parse_from(line.split(' ')).unwrap().global.json, "{line}");
    }
}

#[test]
fn a_volume_needs_a_size_or_a_source() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("archipelago volume create web").is_err());
    assert!(parse("archipelago volume create web --size 1G").is_ok());
    assert!(parse("archipelago volume create web --from volume:db").is_ok());
    assert!(parse("archipelago volume create web --from volume:db --size 1G").is_ok());
}

#[test]
fn a_bare_name_is_a_volume_in_diff_and_an_image_in_export() {
    assert_eq!("web".parse::<Reference>().unwrap().0.to_string(), "volume:web");
    assert_eq!("web@a".parse::<Reference>().unwrap().0.to_string(), "snapshot:web@a");
    assert_eq!("web".parse::<image::Exported>().unwrap().0.to_string(), "image:web");
    assert_eq!("web@a".parse::<image::Exported>().unwrap().0.to_string(), "snapshot:web@a");
}

#[test]
fn an_object_with_an_at_sign_is_still_a_file() {
    let source = "file:mail/a@b".parse::<Reference>().unwrap().0;
    assert_eq!(source.to_string(), "file:mail/a@b");
}

#[test]
fn since_takes_a_name_or_a_path() {
    assert_eq!("monday".parse::<Since>().unwrap().volume, None);
    assert!("web@monday".parse::<Since>().unwrap().volume.is_some());
    assert!("@monday".parse::<Since>().is_err());
}

#[test]
fn a_file_may_be_written_as_a_source() {
    let plain: file::FilePath = "images/a/b".parse().unwrap();
    assert_eq!("file:images/a/b".parse::<file::FilePath>().unwrap(), plain);
    assert!("images".parse::<file::FilePath>().is_err());
    assert!("/x".parse::<file::FilePath>().is_err());
}

#[test]
fn a_lifetime_is_a_number_and_a_unit_within_a_hundred_years() {
    let ms = |text: &str| text.parse::<super::file::Lifetime>().map(|time| time.ms);
    assert_eq!(ms("90s"), Ok(90_000));
    assert_eq!(ms("7d"), Ok(604_800_000));
    assert_eq!(ms("36500d"), Ok(archipelago_api::LIFETIME_MS_MAX));
    for (text, word) in [
        ("7", "is no time"),
        ("-1d", "is no time"),
        ("1.5h", "is no time"),
        ("d", "is no time"),
        ("", "is no time"),
        ("0d", "is over at once"),
        ("36501d", "is too long"),
        ("99999999999999999999999d", "is too long"),
    ] {
        let said = ms(text).expect_err(text);
        assert!(said.contains(word), "{text}: {said}");
    }
}

#[test]
fn whom_a_share_ends_for_is_written_as_whom_it_is_made_for() {
    use super::share::Ended;
    for (text, who, rights) in [
        ("bob", "bob", &[][..]),
        ("bob:read", "bob", &["read"]),
        ("user:bob", "bob", &[]),
        ("user:bob:read,clone", "bob", &["read", "clone"]),
        ("account:lab", "lab/*", &[]),
        ("group:lab/friends:write", "@lab/friends", &["write"]),
        ("@lab/friends", "@lab/friends", &[]),
        ("everyone", "everyone", &[]),
    ] {
        let ended: Ended = text.parse().expect(text);
        assert_eq!((ended.who.0.as_str(), ended.rights.as_slice()), (who, &strings(rights)[..]));
    }
    for bad in ["", "bob:", "bob:raed", "bob:read,", ":read"] {
        assert!(bad.parse::<Ended>().is_err(), "{bad}");
    }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
